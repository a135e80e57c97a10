//! Receipts of a gateway, at a separate address for each attempt. Gateways do not sign their requests, so the address
//! itself contains a signature that only we can make.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use posthaste_courier::rejected_callbacks::RejectedCallbacks;
use posthaste_courier::response_rules::ProviderResponse;
use posthaste_courier::{
    AttemptId, DeliveryReceipt, FeedbackSink, ReceiptResult, ReceiptStatus, SuppressAfter,
    TransportStartError,
};
use posthaste_model::{Channel, CodedReason, Reason};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::Sha256;
use tokio::time::{Instant, timeout};
use url::form_urlencoded;

use super::{ANSWERS, WHO};
use crate::callback_server::CallbackServer;
use crate::response_rules::{self, SmsRules, by_policy, is_code, late_reason};
use crate::sender_health::SenderHealth;
use crate::settings::{BadSetting, GatewaySettings as Section, Settings};

/// The path before the id of the attempt and its signature.
const PATH: &str = "/gateway/status/";
/// Bytes of the signature.
const MARK: usize = 16;
/// The log message for other addresses.
const REFUSED: &str = "rejected receipts at addresses not made here; gateway.callback_key may have changed";
/// Timeout of the feedback sink.
const STORE_WITHIN: Duration = Duration::from_secs(10);

/// Reads and verifies receipts.
pub(super) struct Receipts {
    public: CallbackServer,
    key: SecretString,
    settings: Section,
    answers: SmsRules,
    refusals: RejectedCallbacks,
    sender: Arc<SenderHealth>,
}

impl Receipts {
    /// Receipts from the settings; `None` if there is no listener.
    pub(super) fn read(
        settings: &Settings,
        channel: &Channel,
        sender: &Arc<SenderHealth>,
    ) -> Result<Option<Self>, TransportStartError> {
        let (public, section) = (CallbackServer::read(&settings.sms)?, &settings.gateway);
        let length = section.callback_key.expose_secret().len();
        match public {
            None if length > 0 => {
                let why = "is missing, but gateway.callback_key is set";
                Err(BadSetting::new("sms.public_url", why).into())
            }
            None => Ok(None),
            Some(_) if length < 32 => {
                let why = "must have at least 32 random characters, because sms.public_url is set";
                Err(BadSetting::new("gateway.callback_key", why).into())
            }
            Some(public) => {
                let answers = response_rules::load(&settings.sms.response_rules_file, &ANSWERS)?;
                let (key, settings) = (section.callback_key.clone(), section.clone());
                let refusals = RejectedCallbacks::new(channel, REFUSED);
                let sender = Arc::clone(sender);
                Ok(Some(Self { public, key, settings, answers, refusals, sender }))
            }
        }
    }

    /// The address for receipts of an attempt.
    pub(super) fn address(&self, attempt: &AttemptId) -> String {
        let attempt = attempt.to_string();
        let mark = self.mac(&attempt).finalize().into_bytes();
        let mark = URL_SAFE_NO_PAD.encode(mark.get(..MARK).unwrap_or_default());
        self.public.at(&format!("{PATH}{attempt}/{mark}"))
    }

    fn mac(&self, attempt: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret().as_bytes());
        // HMAC accepts keys of any length.
        mac.unwrap_or_else(|_| Hmac::new(&Default::default())).chain_update(attempt.as_bytes())
    }

    pub(super) fn proves(&self, attempt: &str, mark: &str) -> bool {
        let mark = URL_SAFE_NO_PAD.decode(mark).unwrap_or_default();
        mark.len() == MARK && self.mac(attempt).verify_truncated_left(&mark).is_ok()
    }

    /// What a receipt reports; `None` if it has no known status.
    pub(super) fn word(&self, fields: &[(String, String)]) -> Option<ReceivedReceipt> {
        let settings = &self.settings;
        let of = |word| {
            Some(ReceivedReceipt { word, reason: Reason::None.into(), suppress_after: None, by_policy: None })
        };
        let get = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let status = get(&settings.status_field)?;
        if settings.delivered_values.contains(status) {
            return of(ReceiptStatus::Delivered);
        }
        if settings.sent_values.contains(status) {
            return of(ReceiptStatus::Sent);
        }
        if !settings.failed_values.contains(status) {
            return None;
        }
        let code = get(&settings.code_field).map(String::as_str).filter(|code| is_code(code));
        let receipt = ProviderResponse::receipt(code);
        let found = self.answers.classify(&receipt);
        Some(ReceivedReceipt {
            word: ReceiptStatus::Failed,
            reason: late_reason(&found),
            suppress_after: found.suppress_after(),
            by_policy: by_policy(&found, WHO, &receipt),
        })
    }
}

/// The content of a receipt.
pub(super) struct ReceivedReceipt {
    word: ReceiptStatus,
    reason: CodedReason,
    suppress_after: Option<SuppressAfter>,
    /// Provider and code of the rejection, if it may be the sender's fault.
    by_policy: Option<String>,
}

type Place = (Arc<Receipts>, Arc<dyn FeedbackSink>);

pub(super) fn routes(receipts: Arc<Receipts>, feedback: Arc<dyn FeedbackSink>) -> Router {
    let place: Place = (receipts, feedback);
    Router::new().route(&format!("{PATH}{{attempt}}/{{mark}}"), get(status).post(status)).with_state(place)
}

async fn status(
    State((receipts, feedback)): State<Place>,
    Path((attempt, mark)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if !receipts.proves(&attempt, &mark) {
        receipts.refusals.add(Instant::now());
        return StatusCode::FORBIDDEN;
    }
    let Ok(attempt) = attempt.parse::<AttemptId>() else { return StatusCode::NO_CONTENT };
    let mut fields = fields(&headers, &body);
    fields.extend(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned());
    let Some(received) = receipts.word(&fields) else { return StatusCode::NO_CONTENT };
    let ReceivedReceipt { word, reason, suppress_after, by_policy } = received;
    let receipt = DeliveryReceipt { attempt, word, reason, suppress_after };
    match timeout(STORE_WITHIN, feedback.receipt(&receipt)).await {
        Ok(Ok(noted)) => {
            tracing::debug!(order = %receipt.attempt.order_id, ?noted, "receipt processed");
            if noted == ReceiptResult::Changed {
                receipts.sender.record_status(word, by_policy.as_deref());
            }
            StatusCode::NO_CONTENT
        }
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(
                event = "feedback.not_stored",
                source = "gateway",
                "a receipt could not be stored; the gateway must send it again"
            );
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

pub(super) fn fields(headers: &HeaderMap, body: &[u8]) -> Vec<(String, String)> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return form_urlencoded::parse(body).into_owned().collect();
    }
    let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    fields.into_iter().map(|(name, value)| (name, text(value))).collect()
}
