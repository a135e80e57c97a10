//! The parsers of Bot API answers and updates as functions of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay
//! its corpus.

use serde_json::Value;

use crate::response_rules::{BotAnswer, TABLE, TelegramRules};
use crate::split;
use crate::update_event::{UpdateEvent, received};
use crate::updates::GetUpdatesAnswer;

/// The answer to a request for updates, and each update in it.
pub fn telegram_updates(data: &[u8]) {
    if let Ok(reported) = serde_json::from_slice::<GetUpdatesAnswer>(data) {
        reported.result.iter().for_each(update);
    }
    if let Ok(one) = serde_json::from_slice::<Value>(data) {
        update(&one);
    }
}

fn update(update: &Value) {
    if let Some(UpdateEvent::Gone(addresses) | UpdateEvent::Here(addresses)) = received(update) {
        assert!((1..=2).contains(&addresses.len()));
    }
}

/// An answer to a message: the first byte picks the status.
pub fn telegram_answers(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let answer = BotAnswer::new(200 + u16::from(*first) * 2, None, body);
    let _ = (answer.is_taken(), answer.wait(), answer.migrated());
    let answers = TelegramRules::embedded(&TABLE).expect("the table");
    let _ = answers.classify(&answer.response());
}

/// A text split into parts: the first byte is the limit.
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

    /// Twice the depth the JSON parser accepts, and more than any stack can hold; also where an update may nest messages.
    #[test]
    fn nested_updates_do_no_harm() {
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
