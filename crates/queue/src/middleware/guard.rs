//! The outer layer of every request: limits on the head, work permits, body deadlines, panics turned into problems,
//! and request metrics.

use std::net::Ipv6Addr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{BodyRate, LARGEST_KIB, paced};
use super::trace;
use crate::auth::Caller;
use crate::problem::{Code, Problem};
use crate::settings::Http;

/// Maximum bytes of path and query.
const LONGEST_URI: usize = 4 * 1024;
/// Memory for a body of lines, in KiB: one line, and what is on its way to the store.
const LINES_KIB: u32 = 1_024;
/// When to retry if all places are taken.
const PLACE_RETRY: Duration = Duration::from_secs(1);

/// The limits on all requests together.
pub(crate) struct GuardState {
    /// Permits for requests being processed.
    places: Arc<Semaphore>,
    /// KiB of bodies that may be in memory.
    body_memory: Arc<Semaphore>,
    /// How fast bodies must arrive.
    pace: BodyRate,
}

impl GuardState {
    /// The limits of these settings.
    pub(crate) fn new(http: &Http) -> Self {
        Self {
            places: Arc::new(Semaphore::new(http.max_requests)),
            body_memory: Arc::new(Semaphore::new(body_memory(http))),
            pace: BodyRate {
                first: http.body_time.get(),
                bytes_per_second: http.body_bytes_per_second.bytes().max(1),
            },
        }
    }
}

/// KiB of bodies that may be in memory: at least one body of the largest size.
pub(crate) fn body_memory(http: &Http) -> usize {
    let kib = http.body_memory.bytes() / 1_024;
    let kib = kib.max(u64::from(LARGEST_KIB));
    usize::try_from(kib).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Guards every request, whatever its path.
pub(crate) async fn guard(State(state): State<Arc<GuardState>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let answered = AssertUnwindSafe(pass(state.pace, request, next)).catch_unwind().await;
    let response = answered.unwrap_or_else(|_| {
        // The panic hook logs where and why.
        Problem::new(Code::InternalError, "internal error; the request may be repeated").into_response()
    });
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let method = known(method.as_str());
    log(&route, method, &response, took);
    metrics::histogram!(
        "posthaste_http_request_duration_seconds",
        "route" => route.clone(), "method" => method
    )
    .record(took.as_secs_f64());
    metrics::counter!(
        "posthaste_http_requests_total",
        "route" => route, "method" => method, "status" => status.to_string()
    )
    .increment(1);
    protect(response)
}

/// One log line for each request that failed; the trace id of the problem leads to it. It contains the route and
/// never the path, because paths contain what clients write.
fn log(route: &str, method: &'static str, response: &Response, took: Duration) {
    let (status, trace_id) = (response.status().as_u16(), trace::current());
    let code = response.extensions().get::<Code>().map_or("", |code| code.word());
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match status {
        500.. => tracing::warn!(
            event = "request.failed",
            trace_id,
            route,
            method,
            status,
            code,
            millis,
            "request failed"
        ),
        400.. => tracing::info!(
            event = "request.refused",
            trace_id,
            route,
            method,
            status,
            code,
            millis,
            "request refused"
        ),
        _ => tracing::debug!(trace_id, route, method, status, millis, "request answered"),
    }
}

async fn pass(pace: BodyRate, request: Request, next: Next) -> Response {
    if let Err(problem) = head(&request) {
        return close(problem.into_response());
    }
    let request = request.map(|body| paced(body, pace));
    let response = next.run(request).await;
    match response.status() {
        // The unread rest of the body would be taken for the next request.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => close(response),
        _ => response,
    }
}

/// Limits the requests processed at the same time; trackers have permits of their own. A response that is still
/// streaming (an export) holds no permit.
pub(crate) async fn place(State(state): State<Arc<GuardState>>, request: Request, next: Next) -> Response {
    let Ok(_place) = Arc::clone(&state.places).try_acquire_owned() else {
        let problem = Problem::new(Code::Overloaded, "too many requests at the same time; retry later");
        return problem.retry_after(PLACE_RETRY).into_response();
    };
    next.run(request).await
}

/// Limits the requests of one key, and the bytes of their bodies, to the key's share.
pub(crate) async fn share(
    State(state): State<Arc<GuardState>>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Response {
    let kib = memory_of(request.headers());
    let held = || {
        let place = caller.share.request()?;
        let memory = Arc::clone(&state.body_memory).try_acquire_many_owned(kib).map_err(|_| {
            Problem::new(Code::Overloaded, "too many large bodies at the same time").retry_after(PLACE_RETRY)
        })?;
        Ok::<_, Problem>((place, memory, caller.share.body(kib)?))
    };
    match held() {
        Ok(_held) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Memory for a body, in KiB: its declared length, or the maximum. Bodies of lines are read in pieces.
fn memory_of(headers: &HeaderMap) -> u32 {
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if of(header::CONTENT_TYPE).is_some_and(|given| given.trim_start().starts_with("application/x-ndjson")) {
        return LINES_KIB;
    }
    let reported = of(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let most = match (reported, headers.contains_key(header::TRANSFER_ENCODING)) {
        (Some(length), _) => length.div_ceil(1_024),
        (None, true) => u64::from(LARGEST_KIB),
        (None, false) => 0,
    };
    // A declared length above every path's limit is refused before the body is read.
    u32::try_from(most).unwrap_or(LARGEST_KIB).min(LARGEST_KIB)
}

fn head(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if length > LONGEST_URI {
        return Err(Problem::new(Code::UriTooLong, "the path and query must be at most 4096 bytes"));
    }
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => {}
        // HTTP/1.0 has no Host header.
        (None, _) if request.version() < Version::HTTP_11 => {}
        _ => return Err(Problem::new(Code::BadRequest, "send exactly one valid Host header")),
    }
    if headers.get_all(header::CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Problem::new(Code::BadRequest, "send exactly one Content-Type header"));
    }
    Ok(())
}

/// A host name or address, with or without a port.
fn is_host(value: &HeaderValue) -> bool {
    let Some(authority) = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()) else {
        return false;
    };
    let (host, text) = (authority.host(), authority.as_str());
    // Anything before the host would be a user name and password.
    let Some(port) = text.strip_prefix(host) else { return false };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.is_empty() || digits.parse::<u16>().is_ok());
    let is_name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let is_literal = |host: &str| {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok())
    };
    !host.is_empty() && is_port && (is_name(host) || is_literal(host))
}

fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Headers that every response has.
fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Methods are chosen by the client: only the usual ones become labels.
fn known(method: &str) -> &'static str {
    ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let is = |text: &'static str| is_host(&HeaderValue::from_static(text));
        for host in ["localhost", "a-b.example.org:8080", "127.0.0.1:80", "[::1]:8080", "[::1]", "queue_1:80"]
        {
            assert!(is(host), "{host}");
        }
        for bad in [
            "",
            " ",
            ":80",
            "a b",
            "user@host",
            "host/path",
            "host:x",
            "host:99999",
            "[::1",
            "[x]",
            "a,b",
            "a?b",
            "a#b",
            "a%zz",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }
}
