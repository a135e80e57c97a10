//! Creating a message: one POST, and what its answer means.

use std::time::Duration;

use posthaste_courier::exchange::{Answer, Ended, SHORT, exchange};
use posthaste_courier::{AttemptId, Outcome};
use posthaste_model::Reason;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{Inner, account, seen, status};
use crate::answers::{Said, is_code, named};
use crate::provider::Message;

/// Where receipts of an attempt come in; its name follows.
pub(super) const STATUS: &str = "/twilio/status/";
/// How the provider is called in words for people.
pub(super) const WHO: &str = "Twilio";
/// How long a message's number may take to be written down for inquiries.
const NOTE_WITHIN: Duration = Duration::from_secs(1);

/// What is read of an answer, a message or a refusal. Each field is read by itself: that one is not as it used to be must not
/// make a message look as if it were none.
pub(super) struct Body(Value);

impl Body {
    pub(super) fn new(answer: &Answer) -> Self {
        Self(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// The number of a message.
    pub(super) fn sid(&self) -> Option<&str> {
        self.0["sid"].as_str().filter(|sid| is_message(sid))
    }

    /// The word of a message; of a refusal it is a number.
    pub(super) fn status(&self) -> Option<&str> {
        self.0["status"].as_str()
    }

    pub(super) fn code(&self, name: &str) -> Option<String> {
        self.0[name].as_u64().map(|code| code.to_string()).filter(|code| is_code(code))
    }
}

impl Inner {
    pub(super) async fn create(&self, message: Message<'_>, deadline: Instant) -> Outcome {
        let attempt = message.envelope.id();
        let request = self.account.post(&self.account.path("/Messages.json"));
        let answer = match exchange(request.form(&self.parameters(message, &attempt)), SHORT, deadline).await
        {
            Ended::Answered(answer) => answer,
            Ended::NotConnected => return Outcome::NotSent { after: None, reason: Reason::NotConnected },
            Ended::Lost(reason) => return Outcome::Unknown(reason),
        };
        let body = Body::new(&answer);
        match body.sid() {
            Some(sid) if (200..300).contains(&answer.status) => {
                self.remember(sid, &attempt, deadline).await;
                self.taken(&body, message)
            }
            _ => self.refused(&answer, body.code("code"), message),
        }
    }

    fn parameters(&self, message: Message<'_>, attempt: &AttemptId) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        let mut parameters = vec![("To", message.to.to_owned()), ("Body", message.text.to_owned())];
        if settings.from.is_empty() {
            parameters.push(("MessagingServiceSid", settings.messaging_service_sid.clone()));
        } else {
            parameters.push(("From", settings.from.clone()));
        }
        if let Some((public, _)) = &self.receipts {
            let mut url = public.at(&format!("{STATUS}{attempt}"));
            if !settings.callback_options.is_empty() {
                url = format!("{url}#{}", settings.callback_options);
            }
            parameters.push(("StatusCallback", url));
        }
        let valid_for = settings.valid_for.get().as_secs();
        if valid_for > 0 {
            parameters.push(("ValidityPeriod", valid_for.to_string()));
        }
        if settings.smart_encoding {
            parameters.push(("SmartEncoded", "true".to_owned()));
        }
        parameters
    }

    /// There is a message; it may have failed already.
    fn taken(&self, body: &Body, message: Message<'_>) -> Outcome {
        match body.status() {
            Some(status @ ("failed" | "undelivered" | "canceled")) => {
                let Some(code) = body.code("error_code") else {
                    return Outcome::Rejected(status::uncoded(status));
                };
                let said = Said { code: Some(&code), ..Said::default() };
                let verdict = self.answers.judge(said);
                // It is there: nothing about it can be unknown, and what Twilio could not hand on may be tried again.
                match verdict.outcome(WHO, said, &self.sender, message.to) {
                    Outcome::Unknown(reason) => Outcome::Rejected(reason),
                    outcome => outcome,
                }
            }
            Some("delivered" | "read") => Outcome::Delivered,
            _ => Outcome::Accepted,
        }
    }

    fn refused(&self, answer: &Answer, code: Option<String>, message: Message<'_>) -> Outcome {
        let said = Said::answer(answer, code.as_deref());
        let verdict = self.answers.judge(said);
        if verdict.alarm && message.is_news() {
            let (order, code) = (&message.envelope.suffix, named(said));
            tracing::error!(%order, code, "Twilio refuses a message for what somebody has to look at");
        }
        verdict.outcome(WHO, said, &self.sender, message.to)
    }

    /// Writes down whose message this is, so that an inquiry about another attempt of the same text does not take it for its
    /// own. Whoever can't be told loses that and no more.
    pub(super) async fn remember(&self, sid: &str, attempt: &AttemptId, deadline: Instant) {
        self.seen.note(sid, attempt);
        let until = deadline.min(Instant::now() + NOTE_WITHIN);
        if let Some(desk) = self.desk() {
            let told = timeout_at(until, desk.remember(sid, &attempt.suffix, seen::KEEP)).await;
            if !matches!(told, Ok(Ok(()))) {
                tracing::debug!(order = %attempt.suffix, "the number of a message is not written down");
            }
        }
    }
}

/// Whether a text is the number of a message.
pub(super) fn is_message(sid: &str) -> bool {
    account::is_sid("SM", sid) || account::is_sid("MM", sid)
}

/// What is said of a message that Twilio has.
impl Inner {
    pub(super) fn read(&self, word: &str, code: Option<&str>) -> Option<status::Word> {
        status::read(&self.answers, word, code)
    }
}
