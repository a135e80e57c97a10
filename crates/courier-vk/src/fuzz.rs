//! The parsers of VK's answers and events as functions of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay its
//! corpus.

use serde_json::Value;

use crate::execute_response::{self, ExecuteResponse};
use crate::inbound::CallbackEvent;
use crate::peer::Peer;

/// An event of the Callback API.
pub fn vk_callbacks(data: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<CallbackEvent>(data) {
        let number = event.object.pointer("/message/from_id").and_then(Value::as_i64);
        if let Some(peer) = number.and_then(Peer::number) {
            assert!(Peer::read(&peer.address()).is_some_and(|read| read == peer));
        }
    }
}

/// An answer to a request: the first byte is its number of calls.
pub fn vk_answers(data: &[u8]) {
    let Some((calls, body)) = data.split_first() else { return };
    let calls = usize::from(*calls % 26);
    if let ExecuteResponse::Results(became) = execute_response::read(body, calls) {
        assert_eq!(became.len(), calls);
    }
}

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("vk_callbacks", super::vk_callbacks);
        replay("vk_answers", super::vk_answers);
    }

    /// Twice the depth the JSON parser accepts, and more than any stack can hold.
    #[test]
    fn nested_events_do_no_harm() {
        for levels in [2 * 128, 200_000] {
            for (open, close) in [("[", "]"), ("{\"message\":", "}")] {
                let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
                super::vk_callbacks(deep.as_bytes());
                super::vk_callbacks(
                    format!("{{\"type\":\"message_new\",\"group_id\":1,\"object\":{deep}}}").as_bytes(),
                );
                super::vk_answers(format!("\u{1}{{\"response\":{deep}}}").as_bytes());
            }
        }
    }
}
