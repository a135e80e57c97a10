//! What Twilio calls us with. The raw request is proved first, and nothing else of it is looked at before; it is answered when
//! what it says is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use posthaste_courier::{AttemptId, NotStored, Noted, Receipt};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use url::form_urlencoded;

use super::create::{STATUS, is_message};
use super::signature::Sent;
use super::{Inner, inbound};

/// Where replies come in.
pub(super) const INBOUND: &str = "/twilio/inbound";
/// Twilio takes 15 s for all its tries together.
const STORE_WITHIN: Duration = Duration::from_secs(4);

/// The parameters of a request that is proved.
pub(super) struct Proved(Vec<(String, String)>);

/// A request is answered without more.
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
    /// The value of a parameter; empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl Inner {
    /// Whether Twilio made this request, and with which parameters. `uri` is the path below the public address.
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
            // Twilio does not say whether what stands behind # takes part.
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

/// Waits for the desk. Whoever told it has to tell it again when it is not stored in time.
pub(super) async fn stored<T>(told: impl Future<Output = Result<T, NotStored>>) -> Result<T, Refused> {
    match timeout(STORE_WITHIN, told).await {
        Ok(Ok(noted)) => Ok(noted),
        Ok(Err(error)) => {
            tracing::warn!(%error, "what Twilio told can't be stored; it is asked to tell it again");
            Err(Refused(StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(_) => {
            tracing::warn!("what Twilio told is not stored in time; it is asked to tell it again");
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
    let told = twilio.prove(&uri, &headers, &body)?;
    // Whatever else is wrong is no better when it comes again.
    let Ok(attempt) = attempt.parse::<AttemptId>() else { return Ok(StatusCode::NO_CONTENT) };
    let status = match told.get("MessageStatus") {
        "" => told.get("SmsStatus"),
        status => status,
    };
    let code = Some(told.get("ErrorCode")).filter(|code| !code.is_empty());
    let Some(word) = twilio.read(status, code) else {
        tracing::debug!(order = %attempt.suffix, "a status that says nothing");
        return Ok(StatusCode::NO_CONTENT);
    };
    let Some(desk) = twilio.desk() else { return Err(Refused(StatusCode::SERVICE_UNAVAILABLE)) };
    if word.alarm {
        let order = &attempt.suffix;
        tracing::error!(%order, reason = word.reason.code(), "Twilio could not deliver a message for what somebody has to look at");
    }
    let sid = told.get("MessageSid");
    if is_message(sid) && twilio.seen.whose(sid).as_ref() != Some(&attempt.suffix) {
        twilio.remember(sid, &attempt, Instant::now() + STORE_WITHIN).await;
    }
    let receipt = Receipt { attempt, word: word.rank, reason: word.reason, ban: word.ban };
    let noted = stored(desk.receipt(&receipt)).await?;
    if noted == Noted::Changed {
        twilio.sender.is_told(word.rank, word.by_policy.as_deref());
    }
    tracing::debug!(order = %receipt.attempt.suffix, ?noted, "a receipt");
    Ok(StatusCode::NO_CONTENT)
}
