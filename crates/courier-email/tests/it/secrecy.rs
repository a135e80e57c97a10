//! Addresses, texts, links and keys appear in messages only: not in the log at its most verbose level, not in replies.

use posthaste_courier::recording_sink::SinkState;
use posthaste_rig::CapturedLogs;

use crate::clicks::{click, path};
use crate::client::{BOUNCES, Client, report};
use crate::house::{envelope, send, transport};
use crate::served::Served;
use crate::server::{Kind, Server};

const ADDRESS: &str = "canary-6152@mail.example";
const KEY: &str = "canary-key-of-thirty-two-letters-and-more";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_shows_an_address_a_key_or_a_link() {
    let log = CapturedLogs::by_all();
    let server = Server::start(Kind { dsn: true, ..Kind::default() }).await;
    let settings = [
        BOUNCES[0],
        BOUNCES[2],
        ("bounces.key", KEY),
        ("unsubscribe.public_url", "http://localhost"),
        ("unsubscribe.key", KEY),
        ("unsubscribe.listen", "127.0.0.1:0"),
    ];
    let served = Served::start(transport(&[server.url()], &settings)).await;
    send(&served.email, &envelope(ADDRESS)).await;
    let mail = server.taken().remove(0);
    let mut shown = String::new();
    for away in [false, true] {
        served.sink.set(if away { SinkState::Unavailable } else { SinkState::Storing });
        for message in
            [report("failed", "5.1.1"), report("delayed", "4.4.1"), format!("From: {ADDRESS}\n\n{ADDRESS}\n")]
        {
            shown += &served.bring(&mail.from, &message).await;
        }
        for method in ["GET", "POST", "PUT"] {
            shown += &click(&served, method, &path(&mail), "List-Unsubscribe=One-Click");
        }
    }
    let mut client = Client::open(served.bounces()).await;
    client.greet("LHLO").await;
    for line in [
        format!("MAIL FROM:<{ADDRESS}>"),
        format!("RCPT TO:<{ADDRESS}>"),
        format!("VRFY {ADDRESS}"),
        format!("MAIL FROM:<{ADDRESS}> {ADDRESS}"),
        format!("{ADDRESS} {ADDRESS}"),
    ] {
        shown += &client.ask(&line).await;
    }
    assert!(served.sink.receipts().len() == 1 && served.sink.list_changes().len() == 1, "both were stored");
    let said = log.text();
    assert!(said.contains("listening for bounces") && said.contains("could not be stored"), "{said}");
    let token = path(&mail);
    let token = token.rsplit('/').next().unwrap();
    let local = mail.from.split('@').next().unwrap().trim_start_matches("bounces+");
    log.assert_hides(&shown, &["canary", token, local]);
}
