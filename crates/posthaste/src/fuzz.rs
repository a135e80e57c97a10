//! The reader of recipient files as a function of bytes, for cargo-fuzz (`fuzz/`) and the test that replays its corpus.

pub use crate::recipients_file::fuzz::people;

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("people", super::people);
    }
}
