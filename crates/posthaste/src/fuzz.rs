//! What reads files of people, as functions of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay what it kept.

pub use crate::people::fuzz::people;

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("people", super::people);
    }
}
