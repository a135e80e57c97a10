//! Nested messages beyond every limit, and what is found in them.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

const STATUS: [&str; 1] = ["message/delivery-status"];

fn find(message: &str) -> Option<String> {
    let found = Part::read(message.as_bytes())?.find(&STATUS)?;
    Some(String::from_utf8(found).expect("text").trim_end().to_owned())
}

/// A report inside this many containers.
fn within(levels: usize) -> String {
    let heads: String = (0..levels)
        .map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}x\r\n\r\n--b{level}x\r\n"))
        .collect();
    let ends: String = (0..levels).rev().map(|level| format!("--b{level}x--\r\n")).collect();
    format!("{heads}Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n{ends}")
}

#[test]
fn containers_are_looked_into_down_to_their_bound() {
    for levels in 0..=MOST_DEPTH {
        assert_eq!(find(&within(levels)).as_deref(), Some("Action: failed"), "{levels}");
    }
    for levels in [MOST_DEPTH + 1, 2 * MOST_DEPTH, 20_000] {
        assert_eq!(find(&within(levels)), None, "{levels}");
    }
}

/// Each of these crashed the process, or used up its memory, when mail-parser parsed it as a whole.
#[test]
fn messages_within_messages_are_no_deeper_than_the_first() {
    let bomb = "Content-Type:message/rfc822\r\n\r\n".repeat(40_000);
    let digests = "Content-Type:multipart/digest;boundary=b\r\n\r\n--b\r\n\r\n".repeat(20_000);
    let encoded = format!(
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        STANDARD.encode(&bomb)
    );
    for hostile in [&bomb, &digests, &encoded] {
        let begun = Instant::now();
        assert_eq!(find(hostile), None);
        let report = format!(
            "Content-Type: multipart/report; boundary=r\r\n\r\n--r\r\nContent-Type: message/delivery-status\r\n\r\n\
             Action: failed\r\n--r\r\n{hostile}"
        );
        assert_eq!(find(&report).as_deref(), Some("Action: failed"));
        let behind = format!(
            "Content-Type: multipart/report; boundary=r\r\n\r\n--r\r\n{hostile}\r\n--r\r\n\
             Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n--r--\r\n"
        );
        // The digests have used up the limit of parts.
        let wanted = (hostile != &digests).then_some("Action: failed");
        assert_eq!(find(&behind).as_deref(), wanted);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn heads_and_types_have_bounds() {
    let with = |head: String| format!("{head}Content-Type: message/delivery-status\r\n\r\nx");
    assert!(find(&with("X: y\r\n".repeat(MOST_HEAD / 6 - 10))).is_some());
    assert_eq!(find(&with("X: y\r\n".repeat(MOST_HEAD / 3))), None);
    let typed = |parameters: String| format!("Content-Type: message/delivery-status{parameters}\r\n\r\nx");
    assert!(find(&typed("; a=b".repeat(MOST_TYPE / 5 - 10))).is_some());
    assert_eq!(find(&typed("; a=b".repeat(MOST_TYPE / 5 * 2))), None);
    // Tens of thousands of parts, and parameters in pieces, for which the parser needs more than linear time.
    let begun = Instant::now();
    let many = "--b\r\n\r\nx\r\n".repeat(100_000);
    assert_eq!(find(&format!("Content-Type: multipart/report; boundary=b\r\n\r\n{many}")), None);
    let pieces: String = (0..4_000).map(|n| format!(";\r\n a{n}*1=x")).collect();
    let part = format!("--b\r\nContent-Type: text/plain{pieces}\r\n\r\nx\r\n");
    assert_eq!(find(&format!("Content-Type: multipart/report; boundary=b\r\n\r\n{part}")), None);
    assert_eq!(find(&format!("Content-Type: text/plain{pieces}\r\n\r\nx\r\n")), None);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn parts_are_divided_by_whole_lines_alone() {
    let body = "before\r\n--b\r\none\r\n--bb\r\n --b\r\n--b x\r\n--b \t\r\ntwo\n--b--\r\n--b\r\nbehind";
    let found: Vec<&str> = parts(body.as_bytes(), b"b")
        .into_iter()
        .map(|part| std::str::from_utf8(part).expect("text"))
        .collect();
    assert_eq!(found, ["one\r\n--bb\r\n --b\r\n--b x\r\n", "two\n"]);
    assert_eq!(parts(b"--b\r\nno end", b"b"), [b"no end"]);
    assert!(parts(b"none\r\n--b--\r\n", b"b").is_empty());
}

proptest! {
    #[test]
    fn every_message_is_read_or_left(
        pieces in prop::collection::vec(prop_oneof![
            Just("Content-Type: multipart/report; boundary=b\r\n\r\n"),
            Just("Content-Type: message/rfc822\r\n\r\n"),
            Just("Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n"),
            Just("Content-Transfer-Encoding: base64\r\n"),
            Just("--b\r\n"), Just("--b--\r\n"), Just("\r\n"), Just("\n"), Just("QWN0aW9uOg==\r\n"),
        ], 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let message = [pieces.concat().as_bytes(), &noise[..]].concat();
        if let Some(part) = Part::read(&message) {
            part.find(&STATUS);
        }
    }
}
