//! Links to unsubscribe by with one click (RFC 8058). A link names a message of an order and is proved by a seal, so nothing
//! has to be looked up to see that it was made here. Only POST does anything: programs that look at all links of a message
//! must not unsubscribe anybody. The page GET shows has no cookies, no script and nobody's address.

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
use posthaste_courier::{AttemptId, Desk, Noted, Notice};
use posthaste_ops::listen::Limits;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use crate::hearing::leaves;
use crate::seal::{Purpose, Seals};
use crate::settings::{BadSetting, Unsubscribe};

const URL: &str = "unsubscribe.public_url";
/// 128 bits.
const SEAL: usize = 16;
/// Longest token: a sender's id of 64 letters, the order's number and three more, and the seal, as base64.
const MOST_TOKEN: usize = 200;
/// So that a header with a link fits a line.
const MOST_URL: usize = 300;
/// How long the desk may take.
const DESK: Duration = Duration::from_secs(10);
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
    /// Where they begin, without a slash at its end.
    base: String,
    /// The path of that.
    path: String,
    seals: Seals,
}

impl Links {
    /// Links as the settings say; none when there is no address for them.
    pub(crate) fn new(settings: &Unsubscribe) -> Result<Option<Self>, BadSetting> {
        if settings.public_url.is_empty() {
            return Ok(None);
        }
        let refuse = |why: &str| BadSetting::new(URL, why);
        let url = Url::parse(&settings.public_url)
            .map_err(|_| refuse("expected an address, as in https://example.org/mail"))?;
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => return Err(refuse("has no host")),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            _ => return Err(refuse("must be https://, but for this machine")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("must not hold a user or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("nothing may follow the path"));
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        if base.len() > MOST_URL || base.contains(['<', '>', '"', ',']) {
            return Err(refuse("is too long, or has one of < > \" and ,"));
        }
        let seals = Seals::new(
            Purpose::Unsubscribe,
            ("unsubscribe.key", &settings.key),
            ("unsubscribe.old_keys", &settings.old_keys),
        )?;
        Ok(Some(Self { base, path: url.path().trim_end_matches('/').to_owned(), seals }))
    }

    /// The link of a message. It is the same in every attempt, because the message is.
    pub(crate) fn link(&self, attempt: &AttemptId) -> String {
        let first = AttemptId { attempt: 1, ..attempt.clone() }.to_string();
        let mut bytes = first.into_bytes();
        let seal = self.seals.seal(&bytes);
        bytes.extend(&seal[..SEAL]);
        format!("{}/u/{}", self.base, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The message a path names, if the link was made here. With or without the path that links begin with: some proxies
    /// take it away.
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

/// What strangers may hold of the port.
pub(crate) fn limits(connections: usize) -> Limits {
    Limits {
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
    desk: Arc<dyn Desk>,
    policy: String,
}

/// The answers to links.
pub(crate) fn router(links: Arc<Links>, desk: Arc<dyn Desk>) -> Router {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    Router::new().fallback(answer).with_state(Arc::new(Port { links, desk, policy }))
}

async fn answer(State(port): State<Arc<Port>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(attempt) = port.links.read(head.uri.path()) else {
        counter!("posthaste_unsubscribes_total", "became" => "no_such_link").increment(1);
        return port.says(StatusCode::NOT_FOUND, "There is no such link. Was it copied whole?");
    };
    match head.method {
        Method::GET | Method::HEAD => port.page(StatusCode::OK, ASK),
        Method::POST => port.take(&attempt, &head.headers, body).await,
        _ => {
            let mut answer = port.says(StatusCode::METHOD_NOT_ALLOWED, "This link knows GET and POST.");
            answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD, POST"));
            answer
        }
    }
}

impl Port {
    async fn take(&self, attempt: &AttemptId, headers: &HeaderMap, body: Body) -> Response {
        let Ok(body) = to_bytes(body, limits(1).body_bytes).await else {
            return self.says(StatusCode::PAYLOAD_TOO_LARGE, "That is more than a click.");
        };
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !is_click(kind, &body) {
            return self
                .says(StatusCode::BAD_REQUEST, "Nothing was changed: that was not the button of this page.");
        }
        // Each click is a new notice: whoever asks again after an operator's lift wants it anew.
        let notice = Notice::heard(Instant::now());
        let (status, became, says) = match timeout(DESK, leaves(self.desk.as_ref(), attempt, &notice)).await {
            Ok(Ok(Noted::Changed)) => (
                StatusCode::OK,
                "taken",
                "You are unsubscribed. No more messages of this sender will come to you.",
            ),
            Ok(Ok(Noted::NoSuchAttempt)) => (
                StatusCode::GONE,
                "too_old",
                "This message is too old to be remembered. Please use the link of a newer one.",
            ),
            // The page says that no more messages come only when the address is on the list.
            Ok(Ok(Noted::Known) | Err(_)) | Err(_) => {
                tracing::warn!("somebody wants to unsubscribe, and it can't be stored now");
                let says = "It can't be stored just now. Please try again in a minute.";
                (StatusCode::SERVICE_UNAVAILABLE, "not_stored", says)
            }
        };
        counter!("posthaste_unsubscribes_total", "became" => became).increment(1);
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

/// Whether a body holds the field of a one-click request.
pub(crate) fn is_click(kind: &str, body: &[u8]) -> bool {
    let media = kind.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return url::form_urlencoded::parse(body)
            .any(|(name, value)| (name.as_ref(), value.as_ref()) == FIELD);
    }
    if !media.eq_ignore_ascii_case("multipart/form-data") {
        return false;
    }
    // A form in parts is written as a message is.
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
