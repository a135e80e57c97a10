//! Callbacks from Twilio. The signature of the raw request is verified before anything else is read, and the request
//! is acknowledged only after its content is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use posthaste_courier::{AttemptId, DeliveryReceipt, NotStored, ReceiptResult};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use url::form_urlencoded;

use super::send::{STATUS, is_message};
use super::signature::Sent;
use super::{Inner, inbound};

/// The path for replies.
pub(super) const INBOUND: &str = "/twilio/inbound";
/// Twilio allows 15 s for all of its tries together.
const STORE_WITHIN: Duration = Duration::from_secs(4);

/// The parameters of a request with a verified signature.
pub(super) struct Proved(Vec<(String, String)>);

/// A request is rejected with this status.
pub(super) struct Refused(StatusCode);

impl From<StatusCode> for Refused {
    fn from(status: StatusCode) -> Self {
        Self(status)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// The routes of Twilio's callbacks.
pub(super) fn routes(twilio: Arc<Inner>) -> Router {
    Router::new()
        .route(&format!("{STATUS}{{attempt}}"), post(status))
        .route(INBOUND, post(inbound::received))
        .with_state(twilio)
}

impl Proved {
    /// The value of a parameter; empty if missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl Inner {
    /// Verifies that Twilio made this request, and returns its parameters. `uri` is the path below the public address.
    pub(super) fn prove(&self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Proved, Refused> {
        let Some((public, signature)) = &self.receipts else { return Err(Refused(StatusCode::NOT_FOUND)) };
        let forged = || {
            self.refusals.add(Instant::now());
            Refused(StatusCode::FORBIDDEN)
        };
        let given = headers.get("x-twilio-signature").and_then(|given| given.to_str().ok());
        let given = given.ok_or_else(forged)?;
        let path = uri.path_and_query().map_or(uri.path(), |whole| whole.as_str());
        let mut urls = public.spellings(path);
        let options = &self.settings.callback_options;
        if !options.is_empty() {
            // Twilio does not document whether the part after # is signed.
            urls.extend(urls.clone().into_iter().map(|url| format!("{url}#{options}")));
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            if !signature.proves(&urls, &Sent::Other(body), given) {
                return Err(forged());
            }
            let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
            let text = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            return Ok(Proved(fields.into_iter().map(|(name, value)| (name, text(value))).collect()));
        }
        let parameters: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        if signature.proves(&urls, &Sent::Form(&parameters), given) {
            Ok(Proved(parameters))
        } else {
            Err(forged())
        }
    }
}

/// Waits for the feedback sink. If it does not store in time, Twilio must send the request again.
pub(super) async fn stored<T>(reported: impl Future<Output = Result<T, NotStored>>) -> Result<T, Refused> {
    match timeout(STORE_WITHIN, reported).await {
        Ok(Ok(noted)) => Ok(noted),
        Ok(Err(error)) => {
            tracing::warn!(
                event = "feedback.not_stored",
                source = "twilio",
                %error,
                "a callback could not be stored; Twilio must send it again"
            );
            Err(Refused(StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(_) => {
            tracing::warn!(
                event = "feedback.not_stored",
                source = "twilio",
                "a callback was not stored in time; Twilio must send it again"
            );
            Err(Refused(StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

async fn status(
    State(twilio): State<Arc<Inner>>,
    Path(attempt): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let reported = twilio.prove(&uri, &headers, &body)?;
    // A repeat would not fix any other error.
    let Ok(attempt) = attempt.parse::<AttemptId>() else { return Ok(StatusCode::NO_CONTENT) };
    let status = match reported.get("MessageStatus") {
        "" => reported.get("SmsStatus"),
        status => status,
    };
    let code = Some(reported.get("ErrorCode")).filter(|code| !code.is_empty());
    let Some(word) = twilio.read(status, code) else {
        tracing::debug!(order = %attempt.order_id, "ignored a receipt with an unknown status");
        return Ok(StatusCode::NO_CONTENT);
    };
    let Some(feedback) = twilio.feedback() else { return Err(Refused(StatusCode::SERVICE_UNAVAILABLE)) };
    if word.alarm {
        let order = &attempt.order_id;
        let reason = word.reason.reason.code();
        tracing::error!(
            event = "message.undelivered",
            provider = "twilio",
            %order,
            reason,
            "Twilio could not deliver a message; operator action required"
        );
    }
    let sid = reported.get("MessageSid");
    if is_message(sid) && twilio.seen.whose(sid).as_ref() != Some(&attempt.order_id) {
        twilio.remember(sid, &attempt, Instant::now() + STORE_WITHIN).await;
    }
    let receipt = DeliveryReceipt {
        attempt,
        word: word.rank,
        reason: word.reason,
        suppress_after: word.suppress_after,
    };
    let noted = stored(feedback.receipt(&receipt)).await?;
    if noted == ReceiptResult::Changed {
        twilio.sender.record_status(word.rank, word.by_policy.as_deref());
    }
    tracing::debug!(order = %receipt.attempt.order_id, ?noted, "receipt processed");
    Ok(StatusCode::NO_CONTENT)
}
