//! Replies of recipients: one word opts a number out, another opts it in again. Twilio does the same on its side and
//! forwards the message; without our own suppression list, Twilio would reject every later message one by one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use posthaste_courier::http_request::{HttpResult, SHORT, exchange};
use posthaste_courier::{ConsentNotice, NoticeMoment, SuppressionList};
use posthaste_model::{Address, Reason, UnixMs};
use serde::Deserialize;
use tokio::time::Instant;

use super::Inner;
use super::callback::{Proved, Refused, stored};
use super::lookup::moment;
use super::send::is_message;
use crate::number;
use crate::settings::{BadSetting, TwilioSettings as Section};

/// Timeout for asking Twilio when a reply was made. Twilio allows 15 s for all of its tries together.
const ASK_WITHIN: Duration = Duration::from_secs(3);
/// Sends no reply to the recipient.
const NOTHING: &str = "<Response></Response>";

/// What the recipient wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// No more messages.
    Out,
    /// Messages again.
    In,
}

/// When a reply was made, according to Twilio.
enum ReplyTime {
    At(UnixMs),
    /// Twilio may return it later.
    NotNow,
    /// Twilio does not return it.
    Never,
}

/// The used part of a message.
#[derive(Deserialize)]
struct Shown {
    date_created: String,
}

/// The words for opting out and in.
pub(super) struct Words {
    stop: Vec<String>,
    start: Vec<String>,
}

impl Words {
    pub(super) fn new(settings: &Section) -> Result<Self, BadSetting> {
        let read = |key, words: &[String]| {
            let words: Vec<String> = words.iter().map(|word| word.trim().to_uppercase()).collect();
            match words.iter().any(|word| word.is_empty() || word.contains(char::is_whitespace)) {
                true => Err(BadSetting::new(key, "must be single words")),
                false => Ok(words),
            }
        };
        let stop = read("twilio.stop_words", &settings.stop_words)?;
        let start = read("twilio.start_words", &settings.start_words)?;
        if stop.iter().any(|word| start.contains(word)) {
            return Err(BadSetting::new(
                "twilio.start_words",
                "must not contain a word of twilio.stop_words",
            ));
        }
        Ok(Self { stop, start })
    }

    /// What a message asks for. Twilio's own interpretation takes precedence over its words.
    pub(super) fn wish(&self, opt_out_type: &str, body: &str) -> Option<Wish> {
        match opt_out_type.to_ascii_uppercase().as_str() {
            "STOP" => return Some(Wish::Out),
            "START" => return Some(Wish::In),
            // HELP, and unknown types.
            known if !known.is_empty() => return None,
            _ => {}
        }
        let word = body.trim().to_uppercase();
        if self.stop.contains(&word) {
            Some(Wish::Out)
        } else if self.start.contains(&word) {
            Some(Wish::In)
        } else {
            None
        }
    }
}

pub(super) async fn received(
    State(twilio): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let reported = twilio.prove(&uri, &headers, &body)?;
    twilio.wished(&reported).await?;
    Ok(([(CONTENT_TYPE, "text/xml")], NOTHING).into_response())
}

impl Inner {
    async fn wished(&self, reported: &Proved) -> Result<(), Refused> {
        let from = reported.get("From");
        // Other channels of Twilio have a prefix before the number; they are not ours.
        if !number::is_number(from) {
            return Ok(());
        }
        let Some(wish) = self.words.wish(reported.get("OptOutType"), reported.get("Body")) else {
            return Ok(());
        };
        let Some(feedback) = self.feedback() else { return Err(Refused::away()) };
        let (address, list) = (Address::new(from), SuppressionList::Channel);
        let sid = reported.get("MessageSid");
        let said = match (self.reply_time(sid).await, wish) {
            (ReplyTime::At(moment), _) => NoticeMoment::Provider(moment),
            // An opt-out counts without a time; an opt-in is repeated until its time is known.
            (ReplyTime::NotNow, Wish::In) => {
                tracing::warn!(
                    event = "opt_in.time_unknown",
                    provider = "twilio",
                    "Twilio did not return the time of an opt-in; Twilio must send it again"
                );
                return Err(Refused::away());
            }
            (ReplyTime::NotNow | ReplyTime::Never, _) => NoticeMoment::Unknown,
        };
        let notice = ConsentNotice::named(sid, said).remembered();
        match wish {
            Wish::Out => {
                let noted = stored(feedback.suppress(&address, &list, Reason::OptedOut, &notice)).await?;
                tracing::info!(event = "recipient.opted_out", ?noted, "recipient opted out by reply");
            }
            Wish::In => {
                let deleted = stored(feedback.opt_in(&address, &list, &[Reason::OptedOut], &notice)).await?;
                tracing::info!(event = "recipient.opted_in", deleted, "recipient opted in by reply");
            }
        }
        Ok(())
    }

    /// When a reply was made. The callback does not contain the time, and may be a repeat.
    async fn reply_time(&self, sid: &str) -> ReplyTime {
        if !is_message(sid) {
            return ReplyTime::Never;
        }
        let request = self.account.get(&self.account.path(&format!("/Messages/{sid}.json")));
        match exchange(request, SHORT, Instant::now() + ASK_WITHIN).await {
            HttpResult::Response(answer) if answer.status == 200 => {
                let shown = serde_json::from_slice::<Shown>(&answer.body).ok();
                shown.and_then(|shown| moment(&shown.date_created)).map_or(ReplyTime::Never, ReplyTime::At)
            }
            // Not visible to these credentials, or deleted.
            HttpResult::Response(answer) if (400..500).contains(&answer.status) && answer.status != 429 => {
                tracing::warn!(
                    event = "opt_in.reply_hidden",
                    provider = "twilio",
                    status = answer.status,
                    "Twilio does not show a reply to these credentials, so an opt-in can't delete a suppression"
                );
                ReplyTime::Never
            }
            _ => ReplyTime::NotNow,
        }
    }
}

impl Refused {
    fn away() -> Self {
        StatusCode::SERVICE_UNAVAILABLE.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let settings = crate::fuzz::settings(&[]);
        Words::new(&settings.twilio).unwrap()
    }

    #[test]
    fn one_word_is_a_wish_and_a_sentence_is_none() {
        let words = words();
        for word in [
            "STOP",
            "stop",
            " Stop\r\n",
            "StopAll",
            "unsubscribe",
            "CANCEL",
            "end",
            "QUIT",
            "revoke",
            "OptOut",
        ] {
            assert_eq!(words.wish("", word), Some(Wish::Out), "{word}");
        }
        for word in ["START", "yes", " unstop "] {
            assert_eq!(words.wish("", word), Some(Wish::In), "{word}");
        }
        for word in ["", "please stop", "STOP it", "STOP.", "ST OP", "HELP", "no", "стоп", "stopp", "\0STOP"]
        {
            assert_eq!(words.wish("", word), None, "{word}");
        }
    }

    #[test]
    fn what_twilio_made_of_it_counts_first() {
        let words = words();
        assert_eq!(words.wish("STOP", "arret"), Some(Wish::Out));
        assert_eq!(words.wish("start", "STOP"), Some(Wish::In));
        assert_eq!(words.wish("HELP", "STOP"), None);
    }
}
