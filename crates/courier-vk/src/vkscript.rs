//! The program of a request, in VKScript: one flat array of calls. External data is JSON made by a serializer, which VKScript
//! reads as ECMAScript does; no text is pasted in.

use serde::Serialize;

use crate::batching::Call;
use crate::settings::VkSettings;

/// Parameters of messages.send.
#[derive(Serialize)]
struct Send<'a> {
    /// Ids separated by commas.
    peer_ids: String,
    random_id: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    intent: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dont_parse_links: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_mentions: bool,
}

/// The program that makes these calls.
///
/// # Errors
/// A call that can't be serialized: a bug in the program.
pub(crate) fn program(calls: &[Call], settings: &VkSettings) -> Result<String, serde_json::Error> {
    let mut program = "return [".to_owned();
    for (at, call) in calls.iter().enumerate() {
        let peers: Vec<String> = call.peers.iter().map(|(peer, _)| peer.get().to_string()).collect();
        let send = Send {
            peer_ids: peers.join(","),
            random_id: call.random_id,
            message: &call.message,
            intent: &settings.intent,
            dont_parse_links: settings.dont_parse_links,
            disable_mentions: settings.disable_mentions,
        };
        if at > 0 {
            program.push(',');
        }
        program.push_str("API.messages.send(");
        program.push_str(&literal(&send)?);
        program.push(')');
    }
    program.push_str("];");
    Ok(program)
}

/// JSON that is also valid ECMAScript: these two characters end a line there, and JSON never has them outside strings.
fn literal(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    Ok(json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_literal_is_read_back_and_can_not_be_escaped_from(
            text in ".{0,200}", sign in "[\"\\\\/)};\u{0}\u{a}\u{d}\u{2028}\u{2029}]{0,20}",
        ) {
            let text = format!("{sign}{text}{sign}");
            let written = literal(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
            let ends = ['\n', '\r', '\0', '\u{2028}', '\u{2029}'];
            prop_assert!(!written.contains(ends));
            // Every quote but the outer ones follows an odd number of backslashes.
            let inner = &written[1..written.len() - 1];
            let mut escaped = false;
            for c in inner.chars() {
                prop_assert!(escaped || c != '"');
                escaped = c == '\\' && !escaped;
            }
            prop_assert!(!escaped);
        }
    }
}
