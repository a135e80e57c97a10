//! Replies of people: one word takes their number out, another takes it in again. Twilio does the same on its side and passes the
//! message on; without a list of ours every later message would be refused by Twilio one by one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use posthaste_courier::List;
use posthaste_model::{Address, Reason};

use super::Inner;
use super::callback::{Proved, Refused, stored};
use crate::number;
use crate::settings::{BadSetting, Twilio as Section};

/// Says nothing back.
const NOTHING: &str = "<Response></Response>";

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// No more messages.
    Out,
    /// Messages again.
    In,
}

/// Words that are wishes.
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
            return Err(BadSetting::new("twilio.start_words", "has a word of twilio.stop_words"));
        }
        Ok(Self { stop, start })
    }

    /// What a message wants. What Twilio made of it counts before its words.
    pub(super) fn wish(&self, opt_out_type: &str, body: &str) -> Option<Wish> {
        match opt_out_type.to_ascii_uppercase().as_str() {
            "STOP" => return Some(Wish::Out),
            "START" => return Some(Wish::In),
            // HELP, and what may come.
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
    let told = twilio.prove(&uri, &headers, &body)?;
    twilio.wished(&told).await?;
    Ok(([(CONTENT_TYPE, "text/xml")], NOTHING).into_response())
}

impl Inner {
    async fn wished(&self, told: &Proved) -> Result<(), Refused> {
        let from = told.get("From");
        // Another channel of Twilio's has a word before the number; it is none of ours.
        if !number::is_number(from) {
            return Ok(());
        }
        let Some(wish) = self.words.wish(told.get("OptOutType"), told.get("Body")) else { return Ok(()) };
        let Some(desk) = self.desk() else { return Err(Refused::away()) };
        let (address, list) = (Address::new(from), List::Channel);
        match wish {
            Wish::Out => {
                stored(desk.suppress(&address, &list, Reason::OptedOut)).await?;
                tracing::info!("somebody opted out by a reply");
            }
            Wish::In => {
                stored(desk.lift(&address, &list, Reason::OptedOut)).await?;
                tracing::info!("somebody opted in by a reply");
            }
        }
        Ok(())
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
        let settings = crate::tests::settings(&[]);
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
