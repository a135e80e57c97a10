//! One-click unsubscribe links (RFC 8058). A link names a message of an order and is signed by an HMAC tag, so it is
//! verified without a lookup. Only POST unsubscribes: programs that open all links of a message must not unsubscribe
//! anybody. The page shown on GET has no cookies, no script and no address.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mail_parser::{MessageParser, MimeHeaders, PartType};
use metrics::counter;
use posthaste_courier::{AttemptId, ConsentNotice, FeedbackSink, ReceiptResult};
use posthaste_ops::listen::ListenerLimits;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use crate::bounce_handler::unsubscribe_recipient;
use crate::hmac_tag::{HmacTags, Purpose};
use crate::settings::{BadSetting, UnsubscribeSettings};

const URL: &str = "unsubscribe.public_url";
/// 128 bits.
const SEAL: usize = 16;
/// Longest token: a sender id of 64 letters, the order's number and three more, and the tag, as base64.
const MOST_TOKEN: usize = 200;
/// Limits a header with a link to one line.
const MOST_URL: usize = 300;
/// Timeout of the feedback sink.
const FEEDBACK_TIMEOUT: Duration = Duration::from_secs(10);
/// The field of a one-click request and its value.
const FIELD: (&str, &str) = ("List-Unsubscribe", "One-Click");

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:26rem;padding:0 1rem;text-align:center}\
button{background:#0b57d0;border:0;border-radius:.5rem;color:#fff;cursor:pointer;font:inherit;padding:.75rem 1.5rem}\
@media(prefers-color-scheme:dark){body{background:#1b1b1f;color:#e4e4e9}}";

const ASK: &str = "<p>Do you want to stop getting these messages?</p>\
<form method=\"post\"><button name=\"List-Unsubscribe\" value=\"One-Click\">Unsubscribe</button></form>";

/// The links.
#[derive(Debug)]
pub(crate) struct Links {
    /// The public URL, without a slash at its end.
    base: String,
    /// Its path.
    path: String,
    seals: HmacTags,
}

impl Links {
    /// Links from the settings; `None` if no public URL is set.
    pub(crate) fn new(settings: &UnsubscribeSettings) -> Result<Option<Self>, BadSetting> {
        if settings.public_url.is_empty() {
            return Ok(None);
        }
        let refuse = |why: &str| BadSetting::new(URL, why);
        let url = Url::parse(&settings.public_url)
            .map_err(|_| refuse("expected a URL, as in https://example.org/mail"))?;
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => return Err(refuse("has no host; expected a URL, as in https://example.org/mail")),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            _ => return Err(refuse("must begin with https:// (http:// is only allowed for this machine)")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("must not contain credentials"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("must end after the path"));
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        if base.len() > MOST_URL || base.contains(['<', '>', '"', ',']) {
            return Err(refuse("must be at most 300 characters, without < > \" and ,"));
        }
        let seals = HmacTags::new(
            Purpose::Unsubscribe,
            ("unsubscribe.key", &settings.key),
            ("unsubscribe.old_keys", &settings.old_keys),
        )?;
        Ok(Some(Self { base, path: url.path().trim_end_matches('/').to_owned(), seals }))
    }

    /// The link of a message. It is the same in every attempt, as the message is.
    pub(crate) fn link(&self, attempt: &AttemptId) -> String {
        let first = AttemptId { attempt: 1, ..attempt.clone() }.to_string();
        let mut bytes = first.into_bytes();
        let seal = self.seals.seal(&bytes);
        bytes.extend(&seal[..SEAL]);
        format!("{}/u/{}", self.base, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The message that a path names, if the link was made here. The path of the public URL may be missing: some
    /// proxies strip it.
    pub(crate) fn read(&self, path: &str) -> Option<AttemptId> {
        let path = path.strip_prefix(&self.path).unwrap_or(path);
        let token = path.strip_prefix("/u/").filter(|token| token.len() <= MOST_TOKEN)?;
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (text, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        if !self.seals.fits(text, seal) {
            return None;
        }
        std::str::from_utf8(text).ok()?.parse().ok()
    }
}

/// The limits of the public listener.
pub(crate) fn limits(connections: usize) -> ListenerLimits {
    ListenerLimits {
        connections,
        header_time: Duration::from_secs(10),
        header_bytes: 16 * 1024,
        body_bytes: 4 * 1024,
        write_time: Some(Duration::from_secs(10)),
        connection_life: Some(Duration::from_secs(60)),
        linger: Duration::from_secs(1),
    }
}

struct Port {
    links: Arc<Links>,
    feedback: Arc<dyn FeedbackSink>,
    policy: String,
}

/// The handler of links.
pub(crate) fn router(links: Arc<Links>, feedback: Arc<dyn FeedbackSink>) -> Router {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    Router::new().fallback(answer).with_state(Arc::new(Port { links, feedback, policy }))
}

async fn answer(State(port): State<Arc<Port>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(attempt) = port.links.read(head.uri.path()) else {
        counter!("posthaste_unsubscribes_total", "result" => "invalid_link").increment(1);
        return port.says(StatusCode::NOT_FOUND, "This link is not valid. Did you copy all of it?");
    };
    match head.method {
        Method::GET | Method::HEAD => port.page(StatusCode::OK, ASK),
        Method::POST => port.take(&attempt, &head.headers, body).await,
        _ => {
            let mut answer = port.says(StatusCode::METHOD_NOT_ALLOWED, "Use GET, HEAD or POST.");
            answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD, POST"));
            answer
        }
    }
}

impl Port {
    async fn take(&self, attempt: &AttemptId, headers: &HeaderMap, body: Body) -> Response {
        let Ok(body) = to_bytes(body, limits(1).body_bytes).await else {
            return self.says(StatusCode::PAYLOAD_TOO_LARGE, "Request too large.");
        };
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !is_click(kind, &body) {
            return self.says(
                StatusCode::BAD_REQUEST,
                "Nothing was changed. To unsubscribe, open the link and use the button on the page.",
            );
        }
        // Each click is a new notice: a person who clicks after an operator deleted the suppression wants it back.
        let notice = ConsentNotice::received(Instant::now());
        let (status, result, says) =
            match timeout(FEEDBACK_TIMEOUT, unsubscribe_recipient(self.feedback.as_ref(), attempt, &notice))
                .await
            {
                Ok(Ok(ReceiptResult::Changed)) => (
                    StatusCode::OK,
                    "stored",
                    "You are unsubscribed. You will get no more messages from this sender.",
                ),
                Ok(Ok(ReceiptResult::NoSuchAttempt)) => (
                    StatusCode::GONE,
                    "expired",
                    "This link has expired. Please use the link in a newer message.",
                ),
                // The page confirms only when the address is on the suppression list.
                Ok(Ok(ReceiptResult::Known) | Err(_)) | Err(_) => {
                    tracing::warn!(
                        event = "feedback.not_stored",
                        source = "unsubscribe",
                        "unsubscribe request not stored; the person was asked to try again"
                    );
                    let says = "Your request could not be saved. Please try again in a minute.";
                    (StatusCode::SERVICE_UNAVAILABLE, "not_stored", says)
                }
            };
        counter!("posthaste_unsubscribes_total", "result" => result).increment(1);
        let mut answer = self.says(status, says);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
        }
        answer
    }

    fn says(&self, status: StatusCode, text: &str) -> Response {
        self.page(status, &format!("<p>{text}</p>"))
    }

    fn page(&self, status: StatusCode, inside: &str) -> Response {
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>Unsubscribe</title><style>{STYLE}</style></head><body><main>{inside}</main></body></html>\n"
        );
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, self.policy.as_str()),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::HeaderName::from_static("x-robots-tag"), "noindex"),
        ];
        (status, headers, page).into_response()
    }
}

/// Whether a body contains the field of a one-click request.
pub(crate) fn is_click(kind: &str, body: &[u8]) -> bool {
    let media = kind.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return url::form_urlencoded::parse(body)
            .any(|(name, value)| (name.as_ref(), value.as_ref()) == FIELD);
    }
    if !media.eq_ignore_ascii_case("multipart/form-data") {
        return false;
    }
    // A multipart form has the syntax of a message.
    let message = [b"Content-Type: ", kind.as_bytes(), b"\r\n\r\n", body].concat();
    let Some(message) = MessageParser::default().parse(&message) else { return false };
    message.parts.iter().take(20).any(|part| {
        let name = part.content_disposition().and_then(|disposition| disposition.attribute("name"));
        let value: &[u8] = match &part.body {
            PartType::Text(text) => text.as_bytes(),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes,
            _ => return false,
        };
        name == Some(FIELD.0) && value.trim_ascii() == FIELD.1.as_bytes()
    })
}

#[cfg(test)]
#[path = "unsubscribe_tests.rs"]
mod tests;
