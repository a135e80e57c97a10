//! The mailboxes and names a key may send from.

use serde_json::{Value, json};

use posthaste_model::OutcomeKind;
use posthaste_store::KeyScope;

use crate::client::{Answer, ask, get};
use crate::service::Service;

/// A key of the sender `office`, created over HTTP.
async fn key(service: &Service, master: &str, mailboxes: Value, names: Value) -> String {
    let body = json!({
        "name": format!("{mailboxes}").chars().take(64).collect::<String>(), "scopes": ["write", "read"],
        "sender_id": "office", "mailboxes": mailboxes, "display_names": names,
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

    for (key, email, name, refused) in [
        (&plain, None, None, &[][..]),
        (&plain, Some("intern@example.org"), None, &["/sender/email"]),
        (&plain, None, Some("Intern"), &["/sender/name"]),
        (&intern, None, None, &[]),
        (&intern, Some("intern@example.org"), Some("Intern"), &[]),
        (&intern, Some("INTERN@EXAMPLE.ORG"), None, &[]),
        (&intern, Some("daily@news.example.org"), None, &[]),
        (&intern, Some("boss@example.org"), None, &["/sender/email"]),
        (&intern, Some("intern@example.org"), Some("The Boss"), &["/sender/name"]),
        (&intern, Some("boss@example.org"), Some("The Boss"), &["/sender/email", "/sender/name"]),
        (&any, Some("boss@example.org"), Some("The Boss"), &[]),
    ] {
        let mut sender = json!({"id": "office"});
        sender["email"] = json!(email);
        sender["name"] = json!(name);
        let answer = send(&service, key, sender).await;
        if refused.is_empty() {
            assert_eq!(answer.status, 200, "{email:?} {name:?}: {answer:?}");
        } else {
            assert_eq!((answer.status, answer.problem().as_str()), (403, "sender_not_allowed"), "{answer:?}");
            assert_eq!(places(&answer), refused, "{answer:?}");
            assert!(!answer.text().contains("oss"), "nothing is repeated: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_path_that_accepts_orders_checks_mailboxes() {
    let service = Service::start().await;
    let master = service.master().await;
    let intern = key(&service, &master, json!(["intern@example.org"]), json!([])).await;
    let boss = json!({"id": "office", "email": "boss@example.org"});
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
    let batch = ask("POST", "/v1/orders/batch").key(&intern).header("content-type", "application/x-ndjson");
    let answer = service.ask(batch.body(format!("{one}\n").as_bytes())).await.json();
    assert_eq!((&answer["status"], &answer["problem"]["code"]), (&403.into(), &"sender_not_allowed".into()));
    let history = service.ask(get("/history_key?sender_id=office").key(&intern)).await.json();
    let old = json!({
        "history_key": history["history_key"], "sender": {"id": "office", "email": "boss@example.org", "name": "B", "role": "trainer"},
        "recipients": [{"id": 17, "email": "r@example.org", "name": "R", "role": "student"}], "text": "hello",
    });
    let answer = service.ask(ask("PUT", "/queue").key(&intern).json(&old.to_string())).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "sender_not_allowed"), "{answer:?}");
    let listed = service.ask(get("/v1/orders").key(&intern)).await.json();
    assert_eq!(listed["items"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn a_retry_uses_no_mailbox_that_its_key_may_not_use() {
    let service = Service::start().await;
    let master = service.master().await;
    let boss = key(&service, &master, json!(["boss@example.org"]), json!([])).await;
    let intern = key(&service, &master, json!(["intern@example.org"]), json!([])).await;
    let made = send(&service, &boss, json!({"id": "office", "email": "boss@example.org"})).await.json();
    let order = crate::intake_change::deliver(&service, &[(0, OutcomeKind::Failed)]).await;
    assert_eq!(made["id"], order.wire_id());
    let path = format!("/v1/orders/{}/retry", order.wire_id());
    let answer = service.ask(ask("POST", &path).key(&intern).json("{}")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "sender_not_allowed"), "{answer:?}");
    assert_eq!(service.ask(ask("POST", &path).key(&boss).json("{}")).await.status, 202);
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
