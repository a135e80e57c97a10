//! Parses a message of arbitrary bytes as the outbox does.

use super::message::take_apart;

/// A whole message.
pub fn outbox_messages(data: &[u8]) {
    let taken = serde_json::to_value(take_apart(data)).expect("JSON");
    assert!(taken["parts"].as_array().is_some_and(|parts| parts.len() <= 1_000));
}
