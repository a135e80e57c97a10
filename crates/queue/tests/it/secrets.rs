//! Planted words that must be found in no log line.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use posthaste_ops::telemetry::{Format, Settings, subscriber};

use crate::client::{ask, get};
use crate::service::Service;

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread runs the whole test, the service among it, so that this subscriber hears everything.
#[tokio::test]
async fn neither_keys_nor_texts_nor_addresses_are_logged() {
    let kept = Kept::default();
    let writer = kept.clone();
    let settings = Settings { format: Format::Json, filter: "trace".to_owned() };
    let subscriber = subscriber(&settings, move || writer.clone(), false).expect("a filter");
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut service = Service::with(&[("redis.call_timeout", "2s")]).await;
    let key = service.master().await;
    let secret = key[16..].to_owned();
    let order = r#"{"sender":{"id":"u1","name":"canary-name"},"recipients":[{"id":"r","name":"canary-name","contacts":
        {"email":["canary-address@example.org"],"sms":["canary-phone"]}}],"text":"canary-text","subject":"canary-subject",
        "metadata":{"canary-meta":"canary-meta"}}"#;
    let sound = order.replace(r#","sms":["canary-phone"]"#, "");
    for body in [order, &sound, &sound.replace("\"u1\"", "\"u 1\""), "{\"canary-broken\":"] {
        service.ask(ask("POST", "/v1/orders").key(&key).json(body)).await;
    }
    service.ask(get(&format!("/v1/orders?key={key}&canary-query=1"))).await;
    for path in ["", "/find", "/lift"] {
        let path = format!("/v1/suppressions{path}");
        for addresses in [r#"["canary-ann@example.org"]"#, r#"["canary-wrong"]"#] {
            let body = format!(r#"{{"channel":"email","addresses":{addresses}}}"#);
            service.ask(ask("POST", &path).key(&key).json(&body)).await;
        }
    }
    service.ask(get("/canary-path").header("x-canary", "canary-header")).await;
    service.ask(get("/v1/orders").key(&format!("{}x", &key[..key.len() - 1]))).await;
    service.ask(ask("POST", "/v1/keys").key(&key).json(r#"{"name":"canary-key","scopes":["admin"]}"#)).await;
    service.redis.kill9().expect("killed");
    service.ask(ask("POST", "/v1/orders").key(&key).json(&sound)).await;
    service.ask(get("/v1/couriers").key(&key)).await;
    service.soft.cancel();

    let log = String::from_utf8(kept.0.lock().expect("the log").clone()).expect("text");
    assert!(log.contains("posthaste"), "something was logged");
    assert!(!log.contains(&secret), "the secret of a key is in the log");
    // Everything but the driver's own trace of commands, which no process switches on.
    let ours: Vec<&str> = log.lines().filter(|line| !line.contains("\"target\":\"fred")).collect();
    let found: Vec<_> = ours.iter().filter(|line| line.contains("canary")).collect();
    assert!(found.is_empty(), "{found:?}");
}
