//! Unsubscribe links: in every message, signed, and acting on a click only.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::io::{Read, Write};
use std::net::TcpStream;

use posthaste_courier::recording_sink::{ListChange, SinkState};
use posthaste_courier::{AttemptId, Envelope, Outcome, SuppressionList};
use posthaste_model::Reason;
use posthaste_ops::address::ListenAddress;

use crate::house::{envelope, send, transport};
use crate::served::{KEY, Served, named};
use crate::server::{Mail, Server};

const CLICK: &str = "List-Unsubscribe=One-Click";
const SETTINGS: [(&str, &str); 3] = [
    ("unsubscribe.public_url", "https://lists.example.org/mail/"),
    ("unsubscribe.key", KEY),
    ("unsubscribe.listen", "127.0.0.1:0"),
];

/// A header of a message, unfolded.
fn header(mail: &Mail, name: &str) -> String {
    let message = mail.read();
    let raw = message.header_raw(name).unwrap_or_default();
    raw.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path of a message's link.
pub(crate) fn path(mail: &Mail) -> String {
    let links = header(mail, "List-Unsubscribe");
    let first = links.split(['<', '>']).nth(1).unwrap();
    url::Url::parse(first).unwrap().path().to_owned()
}

/// The response to raw bytes.
fn raw(served: &Served, bytes: &[u8]) -> String {
    let Some(ListenAddress::Tcp(address)) = &served.open.unsubscribe else { panic!("no port") };
    let mut stream = TcpStream::connect(address).unwrap();
    // It may respond before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The response to a form.
pub(crate) fn click(served: &Served, method: &str, path: &str, body: &str) -> String {
    let kind = "application/x-www-form-urlencoded";
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}"
    );
    raw(served, format!("{head}\r\n\r\n{body}").as_bytes())
}

async fn start(more: &[(&str, &str)]) -> (Served, Mail, AttemptId) {
    let server = Server::plain().await;
    let settings: Vec<_> = SETTINGS.iter().chain(more).copied().collect();
    let served = Served::start(transport(&[server.url()], &settings)).await;
    let message = Envelope { attempt: 3, ..envelope("anna@mail.example") };
    assert_eq!(send(&served.email, &message).await, Outcome::Sent);
    (served, server.taken().remove(0), AttemptId { attempt: 1, ..message.id() })
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_has_a_link_and_dkim_covers_it() {
    let dkim = [
        ("dkim.domain", "example.org"),
        ("dkim.selector", "s"),
        ("dkim.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("email.list_unsubscribe", "mailto:leave@example.org"),
    ];
    let (_served, mail, _) = start(&dkim).await;
    let links = header(&mail, "List-Unsubscribe");
    assert!(links.starts_with("<https://lists.example.org/mail/u/"), "{links}");
    assert!(links.ends_with(">, <mailto:leave@example.org>"), "{links}");
    assert_eq!(header(&mail, "List-Unsubscribe-Post"), CLICK);
    let signature = header(&mail, "DKIM-Signature").replace(' ', "");
    assert!(signature.contains("list-unsubscribe:list-unsubscribe-post;"), "{signature}");
    assert!(mail.text.lines().all(|line| line.len() < 998));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_takes_the_recipient_off_the_senders_list() {
    let (served, mail, id) = start(&[]).await;
    let path = path(&mail);
    let list = SuppressionList::Sender("u1".parse().unwrap());
    let parts = "POST PATH HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\
        Content-Length: LENGTH\r\n\r\n";
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    let parts = parts.replace("PATH", &path).replace("LENGTH", &body.len().to_string()) + body;
    for answer in [
        click(&served, "POST", &path, CLICK),
        click(&served, "POST", &path, CLICK),
        // A proxy that strips its own part of the path.
        click(&served, "POST", path.strip_prefix("/mail").unwrap(), CLICK),
        raw(&served, parts.as_bytes()),
    ] {
        assert_eq!(status(&answer), "200", "{answer}");
        assert!(answer.contains("You are unsubscribed"), "{answer}");
    }
    assert_eq!(
        served.sink.list_changes(),
        vec![ListChange::SuppressedRecipient(id, list, Reason::Unsubscribed); 4]
    );
    // Each click is a new notice; if it does not suppress the address, the page does not claim so.
    assert_eq!(named(&served), vec![None; 4]);
    served.sink.record().knows_every_notice = true;
    let answer = click(&served, "POST", &path, CLICK);
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(!answer.contains("You are unsubscribed"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_link_changes_nothing() {
    let (served, mail, _) = start(&[]).await;
    let path = path(&mail);
    let page = click(&served, "GET", &path, "");
    assert_eq!(status(&page), "200");
    assert!(page.contains("<form method=\"post\">") && page.contains("value=\"One-Click\""), "{page}");
    let head = click(&served, "HEAD", &path, "");
    assert_eq!(status(&head), "200");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    for answer in [&page, &head] {
        let answer = answer.to_ascii_lowercase();
        for wanted in [
            "content-security-policy: default-src 'none'; style-src 'sha256-",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "content-type: text/html; charset=utf-8",
        ] {
            assert!(answer.contains(wanted), "{wanted}: {answer}");
        }
        for unwanted in ["set-cookie", "location:", "<script", "http://", "https://", "anna", "mail.example"]
        {
            assert!(!answer.contains(unwanted), "{unwanted}: {answer}");
        }
    }
    for body in ["", "x=y", "List-Unsubscribe=No"] {
        assert_eq!(status(&click(&served, "POST", &path, body)), "400", "{body}");
    }
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
        let answer = click(&served, method, &path, CLICK);
        assert_eq!(status(&answer), "405", "{answer}");
        assert!(answer.to_ascii_lowercase().contains("allow: get, head, post"));
    }
    assert!(served.sink.list_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_were_not_made_here_are_not_there() {
    let (served, mail, _) = start(&[]).await;
    let path = path(&mail);
    let last = if path.ends_with('A') { "B" } else { "A" };
    for wrong in [
        format!("{}{last}", &path[..path.len() - 1]),
        path[..path.len() - 10].to_owned(),
        format!("{path}/"),
        format!("{path}/../x"),
        path.replace("/u/", "/u/%2e"),
        path.to_ascii_uppercase(),
        "/".to_owned(),
        "/mail/u/".to_owned(),
        "/metrics".to_owned(),
        format!("/u/{}", "A".repeat(5_000)),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            assert_eq!(status(&click(&served, method, &wrong, CLICK)), "404", "{method} {wrong}");
        }
    }
    assert!(served.sink.list_changes().is_empty());
    // The query is ignored: some programs add their own.
    assert_eq!(status(&click(&served, "POST", &format!("{path}?utm=1"), CLICK)), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_stored_is_said_and_what_is_forgotten_too() {
    let (served, mail, _) = start(&[]).await;
    let path = path(&mail);
    served.sink.set(SinkState::Unavailable);
    let answer = click(&served, "POST", &path, CLICK);
    assert_eq!(status(&answer), "503");
    assert!(answer.to_ascii_lowercase().contains("retry-after: 60"), "{answer}");
    served.sink.set(SinkState::Storing);
    served.sink.record().knows_no_attempt = true;
    assert_eq!(status(&click(&served, "POST", &path, CLICK)), "410");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_all_bounds_are_cut_off() {
    let (served, mail, _) = start(&[]).await;
    let path = path(&mail);
    assert_eq!(status(&click(&served, "POST", &path, &"x".repeat(100_000))), "413");
    let endless = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{}",
        format!("2000\r\n{}\r\n", "x".repeat(0x2000)).repeat(8)
    );
    assert_eq!(status(&raw(&served, endless.as_bytes())), "413");
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(200_000));
    assert!(["414", "431", "400", ""].contains(&status(&raw(&served, long.as_bytes()))));
    for bytes in [&b"\0\0\0\0\r\n\r\n"[..], b"GET", b"\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"] {
        let mut stream = match &served.open.unsubscribe {
            Some(ListenAddress::Tcp(address)) => TcpStream::connect(address).unwrap(),
            other => panic!("{other:?}"),
        };
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
    }
    assert_eq!(status(&click(&served, "POST", &path, CLICK)), "200", "it goes on");
    assert_eq!(served.sink.list_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_made_without_an_address_for_it() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    assert_eq!(send(&transport, &envelope("anna@mail.example")).await, Outcome::Sent);
    let mail = server.taken().remove(0);
    assert_eq!(
        (header(&mail, "List-Unsubscribe"), header(&mail, "List-Unsubscribe-Post")),
        Default::default()
    );
}
