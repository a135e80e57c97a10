//! What reads answers and updates of the Bot API, as functions of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay
//! what it kept.

use serde_json::Value;

use crate::answers::{Answer, Answers};
use crate::heard::{Heard, heard};
use crate::split;
use crate::updates::Told;

/// The answer to a question for updates, and each of them.
pub fn telegram_updates(data: &[u8]) {
    if let Ok(told) = serde_json::from_slice::<Told>(data) {
        told.result.iter().for_each(update);
    }
    if let Ok(one) = serde_json::from_slice::<Value>(data) {
        update(&one);
    }
}

fn update(update: &Value) {
    if let Some(Heard::Gone(addresses) | Heard::Here(addresses)) = heard(update) {
        assert!((1..=2).contains(&addresses.len()));
    }
}

/// An answer to a message: the first byte picks the status.
pub fn telegram_answers(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let answer = Answer::new(200 + u16::from(*first) * 2, None, body);
    let _ = (answer.is_taken(), answer.wait(), answer.migrated());
    let answers = Answers::embedded().expect("the table");
    let _ = answers.judge(&answer);
}

/// A text in parts: the first byte is the limit.
pub fn telegram_texts(data: &[u8]) {
    let Some((limit, text)) = data.split_first() else { return };
    let limit = usize::from(*limit).max(2);
    for part in split::split(&String::from_utf8_lossy(text), &[], limit) {
        assert!((1..=limit).contains(&split::units_of(&part.text)));
    }
}

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("telegram_updates", super::telegram_updates);
        replay("telegram_answers", super::telegram_answers);
        replay("telegram_texts", super::telegram_texts);
    }

    /// Twice what the reader of JSON takes, and what no stack bears: also where an update may hold messages within messages.
    #[test]
    fn nested_updates_end_nothing() {
        for levels in [2 * 128, 200_000] {
            for (open, close) in
                [("[", "]"), ("{\"reply_to_message\":", "}"), ("{\"message\":{\"pinned_message\":", "}}")]
            {
                let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
                for whole in [
                    deep.clone(),
                    format!("{{\"ok\":true,\"result\":[{{\"update_id\":1,\"message\":{deep}}}]}}"),
                    format!("{{\"ok\":true,\"result\":{deep}}}"),
                ] {
                    super::telegram_updates(whole.as_bytes());
                    super::telegram_answers(format!(" {whole}").as_bytes());
                }
            }
        }
    }
}
