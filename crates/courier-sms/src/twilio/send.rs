//! Creates a message: one POST, and the meaning of its response.

use std::time::Duration;

use posthaste_courier::http_request::{HttpResponse, HttpResult, SHORT, exchange};
use posthaste_courier::response_rules::ProviderResponse;
use posthaste_courier::{AttemptId, Outcome};
use posthaste_model::Reason;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{Inner, account, sid_cache, status};
use crate::provider::Message;
use crate::response_rules::{is_code, outcome};

/// The path for receipts; the id of the attempt follows.
pub(super) const STATUS: &str = "/twilio/status/";
/// The name of the provider in messages to people.
pub(super) const WHO: &str = "Twilio";
/// Timeout for storing the SID of a message for later lookups.
const NOTE_WITHIN: Duration = Duration::from_secs(1);

/// The body of a response, a message or an error. Each field is read separately, so that a change in one field does
/// not hide a message.
pub(super) struct Body(Value);

impl Body {
    pub(super) fn new(answer: &HttpResponse) -> Self {
        Self(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// The SID of a message.
    pub(super) fn sid(&self) -> Option<&str> {
        self.0["sid"].as_str().filter(|sid| is_message(sid))
    }

    /// The status of a message; in an error it is a number.
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
            HttpResult::Response(answer) => answer,
            HttpResult::NotConnected => {
                return Outcome::NotSent { after: None, reason: Reason::ConnectionFailed };
            }
            HttpResult::Lost(reason) => return Outcome::Unknown(reason),
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

    /// The message was created; it may have failed already.
    fn taken(&self, body: &Body, message: Message<'_>) -> Outcome {
        match body.status() {
            Some(status @ ("failed" | "undelivered" | "canceled")) => {
                let Some(code) = body.code("error_code") else {
                    return Outcome::Failed(status::uncoded(status).into());
                };
                let receipt = ProviderResponse::receipt(Some(&code));
                let found = self.answers.classify(&receipt);
                // The message exists, so its outcome is not unknown; if Twilio could not deliver it, it may be retried.
                match outcome(&found, WHO, &receipt, &self.sender, message.to) {
                    Outcome::Unknown(_) => Outcome::Failed(found.coded()),
                    outcome => outcome,
                }
            }
            Some("delivered" | "read") => Outcome::Delivered,
            _ => Outcome::Sent,
        }
    }

    fn refused(&self, answer: &HttpResponse, code: Option<String>, message: Message<'_>) -> Outcome {
        let response = ProviderResponse::http(answer, code.as_deref());
        let found = self.answers.classify(&response);
        if found.alarm && message.is_news() {
            let (order, code) = (&message.envelope.order_id, response.label());
            tracing::error!(
                event = "message.rejected",
                provider = "twilio",
                %order,
                code,
                "Twilio rejected a message; operator action required"
            );
        }
        outcome(&found, WHO, &response, &self.sender, message.to)
    }

    /// Stores to which order a message belongs, so that a lookup for another attempt of the same text does not claim
    /// it. A failure loses only this protection.
    pub(super) async fn remember(&self, sid: &str, attempt: &AttemptId, deadline: Instant) {
        self.seen.note(sid, attempt);
        let until = deadline.min(Instant::now() + NOTE_WITHIN);
        if let Some(feedback) = self.feedback() {
            let reported =
                timeout_at(until, feedback.remember(sid, &attempt.order_id, sid_cache::KEEP)).await;
            if !matches!(reported, Ok(Ok(()))) {
                tracing::debug!(order = %attempt.order_id, "the SID of a message could not be stored");
            }
        }
    }
}

/// Whether a text is the SID of a message.
pub(super) fn is_message(sid: &str) -> bool {
    account::is_sid("SM", sid) || account::is_sid("MM", sid)
}

/// Reads the status of a message at Twilio.
impl Inner {
    pub(super) fn read(&self, word: &str, code: Option<&str>) -> Option<status::TwilioStatus> {
        status::read(&self.answers, word, code)
    }
}
