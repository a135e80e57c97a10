//! `posthaste recover` on a database that went back.

use posthaste_model::{Address, Channel, Content, Delivery, OnUnknown, OrderId, Priority, Text};
use posthaste_rig::eventually_async;
use posthaste_rig::servers::PrivateServer;
use posthaste_store::{NewOrder, NewOrderHead, Role, Settings, Store};
use secrecy::SecretString;

use crate::cli::User;

const ORDER: &str = "u1:1763676000000000001";

fn order() -> NewOrder {
    let email: Channel = "email".parse().expect("a channel");
    let delivery = Delivery {
        index: 0,
        recipient: "r0".to_owned(),
        name: String::new(),
        address: Address::new("r0@mail.example"),
    };
    let head = NewOrderHead {
        order_id: ORDER.parse::<OrderId>().expect("an order"),
        due: None,
        priority: Priority::Bulk,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: std::time::Duration::from_secs(3_600),
        content: Content { text: Text::new("The lecture moves to room 7."), ..Content::default() },
    };
    NewOrder { head, digest: [7; 12], deliveries: vec![(email, delivery)], no_contact: Vec::new() }
}

async fn store(server: &PrivateServer) -> Store {
    let settings = Settings { url: SecretString::from(server.url()), ..Settings::default() };
    Store::connect(settings, Role::Tool).await.expect("a store").0
}

#[tokio::test]
async fn a_database_that_went_back_resumes_as_the_operator_decides() {
    let server = PrivateServer::start().unwrap();
    let store = store(&server).await;
    store.accept(&order()).await.unwrap();
    let user = User::of("http://127.0.0.1:1");
    let url = server.url();
    let nothing = user.run(&["recover", "--assume", "sent", "--redis", &url]).await;
    assert!(nothing.code == 0 && nothing.err.contains("Nothing to recover"), "{nothing:?}");
    // The fence at acceptance is higher than that of a server without its last changes.
    server.command(&["SET", "fence:{0}", "0"]).unwrap();
    store.promote_due(0).await.unwrap_err();
    eventually_async("the halt is stored", async || {
        match server.command(&["GET", "epoch:{0}"]).unwrap().text() {
            Some(epoch) if epoch.starts_with('!') => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let undecided = user.run(&["recover", "--redis", &url]).await;
    assert!(undecided.code != 0 && undecided.err.contains("--assume"), "there is no default: {undecided:?}");
    assert!(store.stopped().is_some(), "it stays stopped");

    let recovered = user.run(&["recover", "--assume", "sent", "--redis", &url, "-o", "ndjson"]).await;
    assert_eq!(recovered.code, 0, "{recovered:?}");
    let order_id = ORDER.replace(':', ".");
    let lost = format!("\"order_id\":\"{order_id}\"");
    assert!(recovered.out.contains(&lost) && recovered.out.contains("\"lost\""), "{recovered:?}");
    assert!(recovered.err.contains("went back") && recovered.err.contains("orders lost: 1"), "{recovered:?}");
    eventually_async("work resumes", async || store.stopped().map_or(Ok(()), |why| Err(why.to_string())))
        .await;
    let again = user.run(&["recover", "--assume", "sent", "--redis", &url]).await;
    assert!(again.code == 0 && again.err.contains("Nothing to recover"), "{again:?}");
}
