//! Links are verified by their tag, and bodies are recognized as clicks.

use proptest::prelude::*;
use secrecy::SecretString;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn settings(url: &str, key: &str, old: &str) -> UnsubscribeSettings {
    UnsubscribeSettings {
        public_url: url.to_owned(),
        key: SecretString::from(key.to_owned()),
        old_keys: SecretString::from(old.to_owned()),
        listen: String::new(),
        max_connections: 1,
    }
}

fn links(url: &str, key: &str, old: &str) -> Links {
    Links::new(&settings(url, key, old)).expect("settings").expect("links")
}

fn attempt(order: &str) -> AttemptId {
    AttemptId { order_id: order.parse().expect("an order"), parcel: 3, delivery: 4, attempt: 5 }
}

#[test]
fn a_link_names_a_message_whatever_the_attempt() {
    let links = links("https://example.org/mail/", SECRET, "");
    let id = attempt("u1:1700000000000000001");
    let link = links.link(&id);
    assert_eq!(link, links.link(&AttemptId { attempt: 9, ..id.clone() }));
    assert!(link.starts_with("https://example.org/mail/u/"), "{link}");
    let path = link.strip_prefix("https://example.org").expect("a path");
    let first = AttemptId { attempt: 1, ..id };
    assert_eq!(links.read(path), Some(first.clone()));
    assert_eq!(links.read(path.strip_prefix("/mail").expect("a path")), Some(first));
    for forged in [
        path.to_ascii_lowercase(),
        path[..path.len() - 1].to_owned(),
        format!("{path}A"),
        format!("{path}/"),
        format!("{path}="),
        path.replace("/u/", "/v/"),
        path.replace("/u/", "/u//"),
        "/u/".to_owned(),
        "/".to_owned(),
        String::new(),
        format!("/u/{}", "A".repeat(100_000)),
    ] {
        assert_eq!(links.read(&forged), None, "{forged:.80}");
    }
}

#[test]
fn keys_may_follow_each_other() {
    let old = links("https://example.org", SECRET, "");
    let path = old.link(&attempt("u1:7")).replace("https://example.org", "");
    let new = links("https://example.org", &SECRET.replace('0', "9"), SECRET);
    assert!(new.read(&path).is_some());
    assert!(links("https://example.org", &SECRET.replace('0', "9"), "").read(&path).is_none());
}

#[test]
fn the_longest_name_has_a_link_that_fits() {
    let host = format!("https://example.org/{}", "p".repeat(270));
    let links = links(&host, SECRET, "");
    let order = format!("{}:{}", "s".repeat(64), u64::MAX);
    let id = AttemptId {
        order_id: order.parse().expect("an order"),
        parcel: u32::MAX,
        delivery: u16::MAX,
        attempt: 255,
    };
    let link = links.link(&id);
    assert!(link.len() < 500, "{}", link.len());
    assert!(links.read(&link["https://example.org".len()..]).is_some());
}

#[test]
fn addresses_nobody_should_click_are_refused() {
    for url in ["https://example.org", "http://127.0.0.1:8090", "http://[::1]/x", "http://localhost:1/"] {
        assert!(Links::new(&settings(url, SECRET, "")).is_ok(), "{url}");
    }
    for (url, key, named) in [
        ("http://example.org", SECRET, "unsubscribe.public_url"),
        ("ftp://example.org", SECRET, "unsubscribe.public_url"),
        ("mailto:x@example.org", SECRET, "unsubscribe.public_url"),
        ("example.org", SECRET, "unsubscribe.public_url"),
        ("https://user:pw@example.org", SECRET, "unsubscribe.public_url"),
        ("https://example.org/?q", SECRET, "unsubscribe.public_url"),
        ("https://example.org/#x", SECRET, "unsubscribe.public_url"),
        ("https://example.org/a,b", SECRET, "unsubscribe.public_url"),
        ("https://example.org", "", "unsubscribe.key"),
        ("https://example.org", "short", "unsubscribe.key"),
    ] {
        assert_eq!(Links::new(&settings(url, key, "")).expect_err(url).key, named, "{url}");
    }
    assert!(Links::new(&settings("", "", "")).expect("no links").is_none());
}

#[test]
fn clicks_are_known_in_both_forms() {
    let form = "application/x-www-form-urlencoded";
    let parts = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n")
    };
    let multipart = "multipart/form-data; boundary=b";
    for (kind, body, is) in [
        (form, "List-Unsubscribe=One-Click", true),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "List-Unsubscribe=One-Click", true),
        (form, "a=b&List-Unsubscribe=One%2DClick", true),
        (form, "", false),
        (form, "List-Unsubscribe=Two-Clicks", false),
        (form, "list-unsubscribe=one-click", false),
        (form, "xList-Unsubscribe=One-Click", false),
        ("text/plain", "List-Unsubscribe=One-Click", false),
        ("", "List-Unsubscribe=One-Click", false),
        (multipart, &parts("List-Unsubscribe", "One-Click"), true),
        (multipart, &parts("List-Unsubscribe", "No"), false),
        (multipart, &parts("Unsubscribe", "One-Click"), false),
        ("multipart/form-data", &parts("List-Unsubscribe", "One-Click"), false),
        ("multipart/form-data; boundary=c", &parts("List-Unsubscribe", "One-Click"), false),
        ("multipart/mixed; boundary=b", &parts("List-Unsubscribe", "One-Click"), false),
    ] {
        assert_eq!(is_click(kind, body.as_bytes()), is, "{kind} {body}");
    }
}

proptest! {
    #[test]
    fn no_path_and_no_body_is_too_strange(path in "\\PC*", token in "[A-Za-z0-9_-]{0,200}", body: Vec<u8>) {
        let links = links("https://example.org/mail", SECRET, "");
        prop_assert_eq!(links.read(&path), None);
        prop_assert_eq!(links.read(&format!("/u/{token}")), None);
        is_click("multipart/form-data; boundary=b", &body);
        is_click("application/x-www-form-urlencoded", &body);
    }
}
