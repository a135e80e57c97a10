//! One HTTP request to a provider and its result, which distinguishes "may have left" from "did not leave". URLs and
//! errors of the HTTP client may contain a token, so neither leaves this file.

use std::net::IpAddr;
use std::time::Duration;

use posthaste_model::Reason;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, RequestBuilder, Url};
use tokio::time::Instant;

use crate::provider_wait;

/// Maximum length of a response about one item: a message, an account.
pub const SHORT: usize = 64 << 10;
/// Maximum length of a response that is a list, or that answers a request for many items.
pub const LONG: usize = 4 << 20;

/// A complete response.
#[derive(Clone)]
pub struct HttpResponse {
    /// HTTP status.
    pub status: u16,
    /// The header Retry-After, if it is a number of seconds; at most [`provider_wait::LONGEST`].
    pub retry_after: Option<Duration>,
    /// The raw body. It may repeat what was sent, so it is never logged.
    pub body: Vec<u8>,
}

/// The result of a request.
pub enum HttpResult {
    /// A complete response was received.
    Response(HttpResponse),
    /// There was no connection; nothing left.
    NotConnected,
    /// Something may have left, and no complete response was received.
    Lost(Reason),
}

/// An invalid setting of the connection to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The proxy.
    #[error("is not a valid proxy URL")]
    Proxy,
    /// No TLS.
    #[error("TLS is unavailable: the system's certificates cannot be read")]
    Tls,
    /// The address is not a URL, or has parts it must not have.
    #[error("{0}")]
    Address(&'static str),
}

/// A client that sends every request once, to the given address only: no retries, no redirects, no proxy from the
/// environment. `proxy`: empty for none.
///
/// # Errors
/// [`InvalidEndpoint`].
pub fn client(connect_within: Duration, proxy: &str) -> Result<Client, InvalidEndpoint> {
    let builder = builder(connect_within);
    let builder = match proxy {
        "" => builder,
        proxy => builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| InvalidEndpoint::Proxy)?),
    };
    builder.build().map_err(|_| InvalidEndpoint::Tls)
}

/// The client of [`client`] before it is built, without a proxy.
pub fn builder(connect_within: Duration) -> ClientBuilder {
    Client::builder()
        .connect_timeout(connect_within)
        // A retry or redirect that the history does not know would be a second message.
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("posthaste/", env!("CARGO_PKG_VERSION")))
}

/// Parses the address of a provider: https, or http on this machine; no user, query or fragment. Strips a slash at
/// the end.
///
/// # Errors
/// [`InvalidEndpoint::Address`].
pub fn base(address: &str) -> Result<Url, InvalidEndpoint> {
    let bad = |why| Err(InvalidEndpoint::Address(why));
    let Ok(url) = Url::parse(address.trim_end_matches('/')) else {
        return bad("is not a URL such as https://api.example.org");
    };
    let here = match url.host_str().unwrap_or_default() {
        "localhost" => true,
        host => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => {
            return bad(
                "must be https://, because every request carries a secret; http:// is allowed only on this machine",
            );
        }
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return bad("must not contain a user, a query (?) or a fragment (#)");
    }
    Ok(url)
}

/// Sends one request and reads the whole response, up to `most` bytes ([`SHORT`] or [`LONG`]); longer responses are
/// rejected. Ends by `deadline`.
pub async fn exchange(request: RequestBuilder, most: usize, deadline: Instant) -> HttpResult {
    let within = deadline.saturating_duration_since(Instant::now());
    let mut response = match request.timeout(within).send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => return HttpResult::NotConnected,
        Err(error) => return HttpResult::Lost(lost(&error)),
    };
    let status = response.status().as_u16();
    let header = response.headers().get(RETRY_AFTER);
    let retry_after = header.and_then(|value| wait_of(value.to_str().ok()?));
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return HttpResult::Lost(Reason::InvalidProviderResponse),
            Ok(None) => return HttpResult::Response(HttpResponse { status, retry_after, body }),
            Err(error) => return HttpResult::Lost(lost(&error)),
        }
    }
}

/// Parses Retry-After, if it is a number of seconds. The header is untrusted: every number is clamped before it reaches the
/// clock.
#[must_use]
pub fn wait_of(header: &str) -> Option<Duration> {
    let digits = header.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number that does not fit is still a long wait.
    let wait = Duration::from_secs(digits.parse().unwrap_or(u64::MAX));
    Some(provider_wait::capped(wait))
}

fn lost(error: &reqwest::Error) -> Reason {
    if error.is_timeout() { Reason::TimedOut } else { Reason::ConnectionLost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_longer_than_a_day() {
        for (header, seconds) in [
            ("0", 0),
            (" 7 ", 7),
            ("86400", 86_400),
            ("86401", 86_400),
            ("9200000000000000000", 86_400),
            ("18446744073709551615", 86_400),
            ("99999999999999999999999", 86_400),
        ] {
            assert_eq!(wait_of(header), Some(Duration::from_secs(seconds)), "{header}");
        }
        for bad in ["", "-1", "+7", "1.5", "Fri, 31 Dec 1999 23:59:59 GMT"] {
            assert_eq!(wait_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_that_would_leak_a_secret_are_refused() {
        assert_eq!(base("https://api.example.org/x/").unwrap().as_str(), "https://api.example.org/x");
        assert!(base("http://127.0.0.1:81").is_ok() && base("http://[::1]:81").is_ok());
        for bad in [
            "",
            "api.example.org",
            "http://api.example.org",
            "https://u:p@x.org",
            "https://x.org/?a",
            "ftp://x",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
