//! The parsers of providers' responses and callbacks as functions of bytes: for cargo-fuzz (`fuzz/`), and for the
//! tests that replay its corpus.

use posthaste_ops::config::Sources;

use crate::Settings;

pub use crate::gateway::fuzz::{gateway_answers, gateway_receipts};
pub use crate::twilio::fuzz::{twilio_answers, twilio_callbacks};

/// The defaults with these changes, by their dotted keys.
pub(crate) fn settings(changes: &[(&str, &str)]) -> Settings {
    let name = |key: &str| format!("POSTHASTE_{}", key.replace('.', "__").to_ascii_uppercase());
    let variables = changes.iter().map(|(key, value)| (name(key).into(), (*value).into()));
    let sources = Sources::new(crate::settings::DEFAULTS).secrets(crate::settings::SECRETS);
    sources.environment(variables).load().expect("settings").settings
}

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("gateway_answers", super::gateway_answers);
        replay("gateway_receipts", super::gateway_receipts);
        replay("twilio_answers", super::twilio_answers);
        replay("twilio_callbacks", super::twilio_callbacks);
    }

    /// Twice the depth that the JSON parser accepts, and a depth that would overflow any stack.
    #[test]
    fn nested_answers_and_callbacks_end_nothing() {
        for levels in [2 * 128, 200_000] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let deep = format!("{{\"sid\":{}1{}}}", open.repeat(levels), close.repeat(levels));
                super::gateway_answers(deep.as_bytes());
                super::twilio_answers(deep.as_bytes());
                for kind in ["json", "x-www-form-urlencoded"] {
                    super::gateway_receipts(format!("application/{kind}\n{deep}").as_bytes());
                    super::twilio_callbacks(format!("application/{kind}\n{deep}").as_bytes());
                }
            }
        }
    }
}
