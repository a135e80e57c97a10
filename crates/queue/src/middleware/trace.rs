//! The trace id of a request: in every problem, in the `x-trace-id` header and in the log.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

tokio::task_local! {
    static TRACE: String;
}

/// The trace id of the current request; empty outside of a request.
#[must_use]
pub fn current() -> String {
    TRACE.try_with(Clone::clone).unwrap_or_default()
}

/// Runs work of the current request on a task of its own, under the same trace id.
pub(crate) fn within<F: Future>(work: F) -> impl Future<Output = F::Output> {
    TRACE.scope(current(), work).in_current_span()
}

/// Takes the trace id from the `traceparent` header, or creates a new one, and processes the request under it.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
    let span = tracing::info_span!("request", trace_id = %id);
    let header = HeaderValue::from_str(&id).ok();
    let mut response = TRACE.scope(id, next.run(request).instrument(span)).await;
    if let Some(header) = header {
        response.headers_mut().insert("x-trace-id", header);
    }
    response
}

/// `00-<32 hex digits>-<16 hex digits>-<flags>` (W3C Trace Context); anything else counts as missing.
fn given(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let sound = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && trace.bytes().any(|b| b != b'0');
    sound.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(text));
        given(&headers)
    }

    #[test]
    fn only_a_valid_trace_id_is_used() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(id));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-<script>-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
