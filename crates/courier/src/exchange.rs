//! One request to a provider by HTTP, and what became of it, told so that nobody can mistake "may have left" for "did not
//! leave". URLs and errors of the HTTP client may hold a token, so neither leaves this file.

use std::net::IpAddr;
use std::time::Duration;

use posthaste_model::Reason;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Url};
use tokio::time::Instant;

/// The longest answer to a request about one thing: a message, an account.
pub const SHORT: usize = 64 << 10;
/// The longest answer that is a list, or of a request that stands for many.
pub const LONG: usize = 4 << 20;
/// The longest wait a provider is believed to mean.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A whole answer.
#[derive(Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The header Retry-After, when it is a number of seconds; a day at most.
    pub retry_after: Option<Duration>,
    /// The body as it came. It may repeat what was sent: never logged.
    pub body: Vec<u8>,
}

/// What became of a request.
pub enum Ended {
    /// A whole answer came.
    Answered(Answer),
    /// There was no connection: nothing left.
    NotConnected,
    /// Something may have left, and no whole answer came.
    Lost(Reason),
}

/// A setting of the way to the provider makes no sense; says which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWay {
    /// The proxy.
    #[error("is not the address of a proxy")]
    Proxy,
    /// No TLS.
    #[error("no TLS: the system's certificates can't be read")]
    Tls,
    /// The address is none, or has parts it must not have.
    #[error("{0}")]
    Address(&'static str),
}

/// A client that sends every request once, to nobody else: no repeats, no redirections, no proxy of the environment.
/// `proxy`: empty for none.
///
/// # Errors
/// [`BadWay`].
pub fn client(connect_within: Duration, proxy: &str) -> Result<Client, BadWay> {
    let builder = Client::builder()
        .connect_timeout(connect_within)
        // A repeat or a redirection unknown to the history would be a second message.
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("posthaste/", env!("CARGO_PKG_VERSION")));
    let builder = match proxy {
        "" => builder,
        proxy => builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| BadWay::Proxy)?),
    };
    builder.build().map_err(|_| BadWay::Tls)
}

/// Reads the address of a provider: https, or http on this machine; neither user nor query nor fragment; no slash at the
/// end.
///
/// # Errors
/// [`BadWay::Address`].
pub fn base(address: &str) -> Result<Url, BadWay> {
    let bad = |why| Err(BadWay::Address(why));
    let Ok(url) = Url::parse(address.trim_end_matches('/')) else {
        return bad("is not an address such as https://api.example.org");
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
                "must be https://, for a secret goes with every request; http:// only on this machine",
            );
        }
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return bad("must hold neither a user nor anything after ? or #");
    }
    Ok(url)
}

/// Sends one request and reads its answer whole, of `most` bytes ([`SHORT`] or [`LONG`]); one that is longer is none of a provider's.
/// Over by `deadline`.
pub async fn exchange(request: RequestBuilder, most: usize, deadline: Instant) -> Ended {
    let within = deadline.saturating_duration_since(Instant::now());
    let mut response = match request.timeout(within).send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => return Ended::NotConnected,
        Err(error) => return Ended::Lost(lost(&error)),
    };
    let status = response.status().as_u16();
    let header = response.headers().get(RETRY_AFTER);
    let retry_after = header.and_then(|value| wait_of(value.to_str().ok()?));
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Ended::Lost(Reason::BadAnswer),
            Ok(None) => return Ended::Answered(Answer { status, retry_after, body }),
            Err(error) => return Ended::Lost(lost(&error)),
        }
    }
}

/// The wait of a Retry-After. It is text of somebody else's: no number in it reaches the clock unclamped.
fn wait_of(header: &str) -> Option<Duration> {
    let digits = header.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a number has are a long wait all the same.
    let wait = Duration::from_secs(digits.parse().unwrap_or(u64::MAX));
    Some(wait.min(LONGEST_WAIT))
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
