//! The mailboxes and names a key may send from.

use serde_json::{Value, json};

use posthaste_model::{OrderId, OutcomeKind};
use posthaste_store::KeyScope;

use crate::client::{Answer, ask, get};
use crate::service::Service;

/// A key of the sender `office`, created over HTTP.
async fn key(service: &Service, master: &str, mailboxes: Value, names: Value) -> String {
    key_of(service, master, mailboxes, names, Value::Null).await
}

async fn key_of(service: &Service, master: &str, mailboxes: Value, names: Value, role: Value) -> String {
    let body = json!({
        "name": format!("{mailboxes}").chars().take(64).collect::<String>(), "scopes": ["write", "read"],
        "sender_id": "office", "mailboxes": mailboxes, "display_names": names, "role": role,
    });
    let made = service.ask(ask("POST", "/v1/api-keys").key(master).json(&body.to_string())).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["mailboxes"], &made["display_names"]), (&mailboxes, &names));
    made["token"].as_str().expect("a key").to_owned()
}

fn order(sender: Value) -> Value {
    json!({
        "sender": sender, "text": "hello",
        "recipients": [{"id": "r", "contacts": {"email": ["r@example.org"]}}],
    })
}

async fn send(service: &Service, key: &str, sender: Value) -> Answer {
    service.ask(ask("POST", "/v1/orders").key(key).json(&order(sender).to_string())).await
}

fn places(answer: &Answer) -> Vec<String> {
    let answer = answer.json();
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().filter_map(|error| error["pointer"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_key_sends_only_from_its_own_mailboxes_and_names() {
    let service = Service::start().await;
    let master = service.master().await;
    let plain = key(&service, &master, json!([]), json!([])).await;
    let intern =
        key(&service, &master, json!(["intern@example.org", "*@news.example.org"]), json!(["Intern"])).await;
    let any = key(&service, &master, json!(["*"]), json!(["*"])).await;

    for field in ["from_email", "reply_to"] {
        for (key, email, name, refused) in [
            (&plain, None, None, &[][..]),
            (&plain, Some("intern@example.org"), None, &[field]),
            (&plain, None, Some("Intern"), &["name"]),
            (&intern, None, None, &[]),
            (&intern, Some("intern@example.org"), Some("Intern"), &[]),
            (&intern, Some("INTERN@EXAMPLE.ORG"), None, &[]),
            (&intern, Some("daily@news.example.org"), None, &[]),
            (&intern, Some("boss@example.org"), None, &[field]),
            (&intern, Some("intern@example.org"), Some("The Boss"), &["name"]),
            (&intern, Some("boss@example.org"), Some("The Boss"), &[field, "name"]),
            (&any, Some("boss@example.org"), Some("The Boss"), &[]),
        ] {
            let mut sender = json!({"id": "office"});
            sender[field] = json!(email);
            sender["name"] = json!(name);
            let answer = send(&service, key, sender).await;
            if refused.is_empty() {
                assert_eq!(answer.status, 200, "{field} {email:?} {name:?}: {answer:?}");
            } else {
                let refused: Vec<_> = refused.iter().map(|field| format!("/sender/{field}")).collect();
                let reported = (answer.status, answer.problem());
                assert_eq!((reported.0, reported.1.as_str()), (403, "sender_not_allowed"), "{answer:?}");
                assert_eq!(places(&answer), refused, "{answer:?}");
                assert!(!answer.text().contains("oss"), "nothing is repeated: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn from_and_reply_to_are_stored_apart() {
    let service = Service::start().await;
    let master = service.master().await;
    let any = key(&service, &master, json!(["*"]), json!(["*"])).await;
    for (sender, from_email, reply_to) in [
        (json!({}), "", ""),
        (json!({"from_email": "News@Example.org"}), "News@example.org", ""),
        (json!({"reply_to": "Office@EXAMPLE.org"}), "", "Office@example.org"),
        (
            json!({"from_email": "news@example.org", "reply_to": "office@example.org"}),
            "news@example.org",
            "office@example.org",
        ),
    ] {
        let made = send(&service, &any, sender.clone()).await.json();
        let order_id = OrderId::from_wire_id(made["id"].as_str().expect("an id")).expect("an order id");
        let content = service.store.order_content(&order_id).await.expect("read").expect("a content");
        assert_eq!(
            (content.from_email.expose(), content.reply_to.expose()),
            (from_email, reply_to),
            "{sender}"
        );
    }
    let intern = key(&service, &master, json!(["intern@example.org"]), json!([])).await;
    let sender = json!({"from_email": "boss@example.org", "reply_to": "boss@example.org"});
    let answer = send(&service, &intern, sender).await;
    assert_eq!(places(&answer), ["/sender/from_email", "/sender/reply_to"], "{answer:?}");
    let old = send(&service, &any, json!({"email": "office@example.org"})).await;
    assert_eq!((old.status, places(&old)), (422, vec!["/sender/email".to_owned()]), "{old:?}");
}

#[tokio::test]
async fn another_reply_to_is_another_order() {
    let service = Service::start().await;
    let master = service.master().await;
    let any = key(&service, &master, json!(["*"]), json!([])).await;
    let put = async |sender: Value| {
        let requested = ask("PUT", "/v1/orders/office.17").key(&any);
        service.ask(requested.json(&order(sender).to_string())).await
    };
    let sender = json!({"reply_to": "office@example.org"});
    assert_eq!(put(sender.clone()).await.status, 200);
    assert_eq!(put(sender).await.status, 200, "a repeat");
    for other in
        [json!({}), json!({"reply_to": "boss@example.org"}), json!({"from_email": "office@example.org"})]
    {
        let answer = put(other).await;
        assert_eq!((answer.status, answer.problem().as_str()), (409, "order_already_exists"), "{answer:?}");
    }
}

#[tokio::test]
async fn every_path_that_accepts_orders_checks_mailboxes() {
    let service = Service::start().await;
    let master = service.master().await;
    let intern = key(&service, &master, json!(["intern@example.org"]), json!([])).await;
    for field in ["from_email", "reply_to"] {
        let mut boss = json!({"id": "office"});
        boss[field] = json!("boss@example.org");
        let one = order(boss.clone()).to_string();
        let head = json!({"sender": boss, "text": "hello"});
        let lines = format!("{head}\n{{\"id\":\"r\",\"contacts\":{{\"email\":[\"r@example.org\"]}}}}\n");
        for (method, path, media_type, body) in [
            ("POST", "/v1/orders", "application/json", &one),
            ("POST", "/v1/orders?dry_run=true", "application/json", &one),
            ("PUT", "/v1/orders/office.17", "application/json", &one),
            ("POST", "/v1/orders", "application/x-ndjson", &lines),
        ] {
            let requested =
                ask(method, path).key(&intern).header("content-type", media_type).body(body.as_bytes());
            let answer = service.ask(requested).await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (403, "sender_not_allowed"),
                "{path} {answer:?}"
            );
        }
        let batch =
            ask("POST", "/v1/orders/batch").key(&intern).header("content-type", "application/x-ndjson");
        let answer = service.ask(batch.body(format!("{one}\n").as_bytes())).await.json();
        let (status, code) = (&answer["status"], &answer["problem"]["code"]);
        assert_eq!((status, code), (&403.into(), &"sender_not_allowed".into()));
    }
    // The legacy API asks for a role, which is the key's.
    let intern = key_of(&service, &master, json!(["intern@example.org"]), json!([]), json!("trainer")).await;
    let history = service.ask(get("/history_key?sender_id=office").key(&intern)).await.json();
    let old = json!({
        "history_key": history["history_key"], "sender": {"id": "office", "email": "boss@example.org", "name": "B", "role": "trainer"},
        "recipients": [{"id": 17, "email": "r@example.org", "name": "R", "role": "student"}], "text": "hello",
    });
    let answer = service.ask(ask("PUT", "/queue").key(&intern).json(&old.to_string())).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "sender_not_allowed"), "{answer:?}");
    assert_eq!(
        places(&answer),
        ["/sender/email", "/sender/name"],
        "the legacy API keeps its words: {}",
        answer.text()
    );
    let listed = service.ask(get("/v1/orders").key(&intern)).await.json();
    assert_eq!(listed["items"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn a_retry_uses_no_mailbox_that_its_key_may_not_use() {
    let service = Service::start().await;
    let master = service.master().await;
    let boss = key(&service, &master, json!(["boss@example.org"]), json!([])).await;
    let intern = key(&service, &master, json!(["intern@example.org"]), json!([])).await;
    for field in ["from_email", "reply_to"] {
        let mut sender = json!({"id": "office"});
        sender[field] = json!("boss@example.org");
        let made = send(&service, &boss, sender).await.json();
        let order = crate::intake_change::deliver(&service, &[(0, OutcomeKind::Failed)]).await;
        assert_eq!(made["id"], order.wire_id());
        let path = format!("/v1/orders/{}/retry", order.wire_id());
        let answer = service.ask(ask("POST", &path).key(&intern).json("{}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "sender_not_allowed"), "{answer:?}");
        assert_eq!(places(&answer), [format!("/sender/{field}")], "{answer:?}");
        assert_eq!(service.ask(ask("POST", &path).key(&boss).json("{}")).await.status, 202);
        // The retry is delivered too, so that the next order is the only one.
        crate::intake_change::deliver(&service, &[(0, OutcomeKind::Sent)]).await;
    }
}

#[tokio::test]
async fn mailboxes_of_a_key_are_checked_and_normalised() {
    let service = Service::start().await;
    let master = service.key(&KeyScope::ALL, None).await;
    for (field, wrong) in [
        ("mailboxes", json!(["canary"])),
        ("mailboxes", json!(["*@canary"])),
        ("mailboxes", json!(["can*@example.org"])),
        ("mailboxes", json!(["Canary <a@example.org>"])),
        ("mailboxes", json!(["a@example.org\ncanary@example.org"])),
        ("mailboxes", json!(vec!["canary@example.org"; 65])),
        ("display_names", json!(["canary\nX: y"])),
        ("display_names", json!([""])),
    ] {
        let mut body = json!({"name": "n", "scopes": ["write"], "sender_id": "office"});
        body[field] = wrong.clone();
        let answer = service.ask(ask("POST", "/v1/api-keys").key(&master).json(&body.to_string())).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "validation_failed"), "{wrong}");
        assert_eq!(places(&answer), [format!("/{field}")], "{wrong}");
        assert!(!answer.text().contains("canary"), "{answer:?}");
    }
    let body = r#"{"name":"n","scopes":["write"],"sender_id":"office","mailboxes":["*@EXAMPLE.org"]}"#;
    let made = service.ask(ask("POST", "/v1/api-keys").key(&master).json(body)).await.json();
    assert_eq!(made["mailboxes"], json!(["*@example.org"]));
    let listed = service.ask(get("/v1/api-keys").key(&master)).await.json();
    assert!(listed["items"].to_string().contains("*@example.org"), "{listed}");
}
