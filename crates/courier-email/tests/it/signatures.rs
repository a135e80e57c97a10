//! DKIM as receivers verify it (RFC 6376 6.1): of the message that the relay got, with the keys that doctor says to
//! publish.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posthaste_courier::{Envelope, Outcome, Transport};
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::house::{envelope, send, transport};
use crate::server::Server;

const RSA: &str = include_str!("../keys/rsa-2048-pkcs1.pem");
const ED25519_SEED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BOTH: [(&str, &str); 5] = [
    ("dkim.domain", "example.org"),
    ("dkim.selector", "r2026"),
    ("dkim.key", RSA),
    ("dkim.second_selector", "e2026"),
    ("dkim.second_key", ED25519_SEED),
];

/// A message that the server got, with its line ends as on the wire.
fn arrived(server: &Server, at: usize) -> String {
    server.taken()[at].text.replace('\n', "\r\n")
}

/// A value without white space.
fn tight(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The value of a tag.
fn tag<'a>(header: &'a str, name: &str) -> &'a str {
    let tags = header.split(';').filter_map(|tag| tag.trim().split_once('='));
    tags.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value).unwrap()
}

/// Name and value of each header, the value with its line breaks, and the body.
fn split(message: &str) -> (Vec<(&str, String)>, &str) {
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let mut headers: Vec<(&str, String)> = Vec::new();
    for line in head.split("\r\n") {
        match line.strip_prefix([' ', '\t']) {
            Some(_) => headers.last_mut().unwrap().1 += &format!("\r\n{line}"),
            None => {
                let (name, value) = line.split_once(':').unwrap();
                headers.push((name, value.to_owned()));
            }
        }
    }
    (headers, body)
}

/// RFC 6376 3.4.2 and 3.4.4, for bodies without runs of white space.
fn canonical(name: &str, value: &str) -> String {
    format!("{}:{}", name.to_ascii_lowercase(), value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether each signature of a message verifies with the key that is published for its selector, and its algorithm.
fn verify(message: &str, records: &[String]) -> Vec<(String, bool)> {
    let (headers, body) = split(message);
    let body = format!("{}\r\n", body.trim_end_matches("\r\n"));
    let mut seen = Vec::new();
    for (_, signature) in headers.iter().filter(|(name, _)| *name == "DKIM-Signature") {
        assert_eq!(tag(signature, "c"), "relaxed/relaxed");
        let same_body = STANDARD.encode(Sha256::digest(&body)) == tight(tag(signature, "bh"));
        let mut left: Vec<&(&str, String)> = headers.iter().collect();
        let mut text = String::new();
        for name in tight(tag(signature, "h")).split(':') {
            // From the bottom up; a header that is not there counts as nothing.
            if let Some(at) = left.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name)) {
                let (name, value) = left.remove(at);
                text += &format!("{}\r\n", canonical(name, value));
            }
        }
        let unsigned = signature.rsplit_once("b=").unwrap().0.to_owned() + "b=";
        text += &canonical("DKIM-Signature", &unsigned);
        let at = format!("{}._domainkey.{}:", tag(signature, "s"), tag(signature, "d"));
        let record = records.iter().find_map(|line| line.split_once(&at)).unwrap().1;
        let key = STANDARD.decode(tag(record, "p")).unwrap();
        let signed = STANDARD.decode(tight(tag(signature, "b"))).unwrap();
        let algorithm = tag(signature, "a");
        let verified = match algorithm {
            // The key is wrapped as SubjectPublicKeyInfo; its PKCS#1 form begins after 24 bytes.
            "rsa-sha256" => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key[24..])
                .verify(text.as_bytes(), &signed)
                .is_ok(),
            "ed25519-sha256" => {
                UnparsedPublicKey::new(&ED25519, &key).verify(&Sha256::digest(&text), &signed).is_ok()
            }
            other => panic!("{other}"),
        };
        seen.push((algorithm.to_owned(), same_body && verified));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_leaves_with_both_signatures_and_receivers_can_verify_them() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &BOTH);
    let records = transport.to_set_up();
    assert_eq!(records.len(), 2, "{records:?}");
    let message = envelope("anna@mail.example");
    let again = Envelope { attempt: 2, ..message.clone() };
    assert_eq!(send(&transport, &message).await, Outcome::Sent);
    assert_eq!(send(&transport, &again).await, Outcome::Sent);
    let [first, second] = [0, 1].map(|at| arrived(&server, at));
    assert_eq!(first, second, "every attempt sends the same bytes");
    let all = |fine: bool| [("rsa-sha256".to_owned(), fine), ("ed25519-sha256".to_owned(), fine)];
    assert_eq!(verify(&first, &records), all(true), "{first}");
    for (changed, what) in [
        (first.replace("Subject:", "Subject: Re:"), "the subject"),
        (first.replace("From:", "From: Eve <eve@example.net>\r\nFrom:"), "a second From"),
        (first.replacen("\r\n\r\n", "\r\n\r\nMore. ", 1), "the body"),
        (first.replace("auto-generated", "no"), "Auto-Submitted"),
    ] {
        assert_ne!(changed, first, "{what}");
        assert_eq!(verify(&changed, &records), all(false), "{what}");
    }
    // A header that is not signed may be added on the way.
    assert_eq!(verify(&format!("Received: from a by b\r\n{first}"), &records), all(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_signature_and_none_makes_none() {
    let server = Server::plain().await;
    for (at, (settings, algorithms)) in
        [(&BOTH[..3], &["rsa-sha256"][..]), (&[], &[])].into_iter().enumerate()
    {
        let transport = transport(&[server.url()], settings);
        assert_eq!(send(&transport, &envelope("anna@mail.example")).await, Outcome::Sent);
        let records = transport.to_set_up();
        let text = arrived(&server, at);
        let seen = verify(&text, &records);
        assert_eq!(seen.iter().map(|(algorithm, _)| algorithm.as_str()).collect::<Vec<_>>(), algorithms);
        assert!(seen.iter().all(|(_, fine)| *fine) && records.len() == algorithms.len());
    }
}
