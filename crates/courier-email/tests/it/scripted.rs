//! Relays that follow a script, whatever they receive: other mechanisms of AUTH, and plain text where TLS must begin.

use std::sync::{Arc, Mutex};

use posthaste_courier::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{envelope, send, transport};

/// A relay on its own port, and everything it received.
async fn relay(scheme: &str, script: Vec<Vec<String>>) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
    let reported = Arc::new(Mutex::new(String::new()));
    let received = Arc::clone(&reported);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            converse(stream, &script, &received).await;
        }
    });
    (url, reported)
}

/// Sends the writes of each step, and reads a command after each; after a 354, a whole text.
async fn converse(mut stream: TcpStream, script: &[Vec<String>], reported: &Mutex<String>) {
    stream.set_nodelay(true).expect("an option");
    for step in script {
        for write in step {
            if stream.write_all(write.as_bytes()).await.is_err() {
                return;
            }
        }
        let end = if step.concat().starts_with("354") { "\r\n.\r\n" } else { "\r\n" };
        let mut command = String::new();
        while !command.ends_with(end) {
            let Ok(byte) = stream.read_u8().await else { return };
            command.push(char::from(byte));
        }
        reported.lock().expect("no panic").push_str(&command);
    }
}

fn script(steps: &[&str]) -> Vec<Vec<String>> {
    steps.iter().map(|step| vec![format!("{step}\r\n")]).collect()
}

#[tokio::test]
async fn auth_goes_by_the_best_way_that_is_offered() {
    let plain = "AUTH PLAIN AHVzZXIAc2VjcmV0\r\nMAIL";
    let login = "AUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\nMAIL";
    let questions = ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"];
    for (offered, asks, wanted) in [
        ("250 AUTH LOGIN PLAIN", &[][..], plain),
        ("250 auth plain", &[], plain),
        ("250-AUTH=LOGIN PLAIN\r\n250 SIZE", &[], plain),
        ("250 AUTH LOGIN XOAUTH2", &questions, login),
        ("250 AUTH=LOGIN", &questions, login),
    ] {
        let ehlo = format!("250-relay\r\n{offered}");
        let before = ["220 relay", ehlo.as_str()];
        let after = ["235 ok", "250 ok", "250 ok", "354 go", "250 taken"];
        let (url, reported) = relay("smtp+plain", script(&[&before[..], asks, &after[..]].concat())).await;
        let transport = transport(&[url], &[("smtp.username", "user"), ("smtp.password", "secret")]);
        assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent, "{offered}");
        let reported = reported.lock().expect("no panic").clone();
        assert!(reported.contains(wanted), "{offered}: {reported}");
    }
}

#[tokio::test]
async fn without_a_way_of_auth_that_is_known_nothing_is_sent() {
    for (offered, asks) in [
        ("250 SIZE", &[][..]),
        ("250 AUTH CRAM-MD5 XOAUTH2", &[]),
        ("250 AUTHENTIC PLAIN", &[]),
        ("250 AUTH LOGIN", &["334 V2hhdD8="]),
        ("250 AUTH LOGIN", &["334 ==="]),
        ("250 AUTH LOGIN", &["250 ok"]),
        ("250 AUTH PLAIN", &["334 "]),
        ("250 AUTH LOGIN", &["334 VXNlcm5hbWU6"; 20]),
    ] {
        let ehlo = format!("250-relay\r\n{offered}");
        let before = ["220 relay", ehlo.as_str()];
        let (url, reported) = relay("smtp+plain", script(&[&before[..], asks, &["250 ok"]].concat())).await;
        let transport = transport(&[url], &[("smtp.username", "user"), ("smtp.password", "secret")]);
        let outcome = send(&transport, &envelope("a@mail.example")).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{offered}: {outcome:?}");
        let reported = reported.lock().expect("no panic").clone();
        assert!(!reported.contains("MAIL"), "{offered}: {reported}");
    }
}

/// In one piece or several, before or during the TLS handshake.
#[tokio::test]
async fn plain_text_behind_the_answer_to_starttls_is_no_answer() {
    let injected = "250-relay\r\n250 SIZE\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 taken\r\n";
    for pieces in [vec![injected], vec!["2", &injected[1..]], injected.split_inclusive('\n').collect()] {
        let go = [vec!["220 go\r\n"], pieces].concat().into_iter().map(str::to_owned).collect();
        let mut steps = script(&["220 relay", "250-relay\r\n250 STARTTLS"]);
        steps.push(go);
        let (url, reported) = relay("smtp", steps).await;
        let transport = transport(&[url], &[]);
        for _ in 0..10 {
            let outcome = send(&transport, &envelope("a@mail.example")).await;
            assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
        }
        let reported = reported.lock().expect("no panic").clone();
        assert!(!reported.contains("MAIL"), "{reported}");
    }
}
