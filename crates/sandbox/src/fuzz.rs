//! The parsers of received data, as functions of bytes: for cargo-fuzz (`fuzz/`) and for tests that replay its
//! corpus.

pub use crate::outbox::fuzz::outbox_messages;
pub use crate::vk::fuzz::vk_programs;

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("outbox_messages", super::outbox_messages);
        replay("vk_programs", super::vk_programs);
    }

    /// Twice the depth that is parsed, and a depth that would overflow any stack.
    #[test]
    fn nested_messages_and_programs_end_nothing() {
        for levels in [2 * 8, 2 * 128, 40_000] {
            for head in [
                "Content-Type: message/rfc822\r\n\r\n",
                "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
                "Content-Type: multipart/alternative; boundary=\"\"\r\n\r\n--\r\n",
            ] {
                super::outbox_messages(head.repeat(levels).as_bytes());
            }
            for open in ["[", "{\"a\":", "API.a(", "return [", "("] {
                super::vk_programs(format!("return [API.messages.send({}", open.repeat(levels)).as_bytes());
            }
        }
    }
}
