//! One POST and its result, which distinguishes "may have left" from "did not leave". No URL and no error of the HTTP client
//! leaves this file.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::http_request;
use posthaste_model::Reason;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder};
use tokio::time::Instant;

use crate::public_dns::{ForbiddenAddress, Lookup, PublicDns};
use crate::settings::{BadSetting, WebhookSettings};
use crate::target::Target;

/// How much of an answer's body is read, so that the connection can be used again. The rest is not wanted: the status says all.
const MOST_OF_BODY: usize = 16 << 10;

/// The clients: one calls public addresses alone, the other also those of the operator's own network. Neither follows
/// redirects or uses a proxy, which would choose the address itself.
pub(crate) struct Clients {
    public: Client,
    private: Client,
}

/// The result of a POST.
pub(crate) enum CallResult {
    /// The receiver answered.
    Response {
        /// HTTP status.
        status: u16,
        /// The wait it asks for.
        retry_after: Option<Duration>,
    },
    /// No address of the host may be called; nothing left.
    Forbidden,
    /// There was no connection; nothing left.
    NotConnected,
    /// Something may have left, and no complete answer was received.
    Lost(Reason),
}

impl Clients {
    /// Clients that look names up with `lookup`. Opens nothing.
    ///
    /// # Errors
    /// TLS is unavailable.
    pub(crate) fn new(settings: &WebhookSettings, lookup: &Lookup) -> Result<Self, BadSetting> {
        let client = |private, https_only| {
            let public_dns = PublicDns { lookup: Arc::clone(lookup), private };
            let builder = http_request::builder(settings.connect_within.get());
            let built = builder.dns_resolver(Arc::new(public_dns)).https_only(https_only).build();
            built
                .map_err(|_| BadSetting::new("webhook.hosts", http_request::InvalidEndpoint::Tls.to_string()))
        };
        Ok(Self { public: client(false, !settings.http)?, private: client(true, false)? })
    }

    /// A POST to this URL.
    pub(crate) fn post(&self, target: Target) -> RequestBuilder {
        if target.private { self.private.post(target.url) } else { self.public.post(target.url) }
    }
}

/// Sends a request and reads the answer. Ends by `deadline`.
pub(crate) async fn exchange(request: RequestBuilder, deadline: Instant) -> CallResult {
    let within = deadline.saturating_duration_since(Instant::now());
    let mut response = match request.timeout(within).send().await {
        Ok(response) => response,
        Err(error) if is_forbidden(&error) => return CallResult::Forbidden,
        Err(error) if error.is_connect() || error.is_builder() => return CallResult::NotConnected,
        Err(error) => return CallResult::Lost(lost(&error)),
    };
    let status = response.status().as_u16();
    let header = response.headers().get(RETRY_AFTER);
    let retry_after = header.and_then(|value| http_request::wait_of(value.to_str().ok()?));
    let mut read = 0;
    while read < MOST_OF_BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) => break,
            Err(error) => return CallResult::Lost(lost(&error)),
        }
    }
    CallResult::Response { status, retry_after }
}

fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<ForbiddenAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn lost(error: &reqwest::Error) -> Reason {
    if error.is_timeout() { Reason::TimedOut } else { Reason::ConnectionLost }
}
