//! The connection to the queue: requests and responses, and failures classified by what the user does next.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Problem;
use crate::failure::{Failure, Kind, Result};
use crate::settings;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A stream that is silent for this long is dead: the server sends a heartbeat every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// At most this many bytes of an error response are read.
const REFUSAL_BYTES: usize = 4 * 1024 * 1024;

/// The query of a request.
pub(crate) type Query<'a> = [(&'a str, String)];

/// A client of one queue.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<header::HeaderValue>,
    timeout: Duration,
}

impl Client {
    /// A client from the settings.
    ///
    /// # Errors
    /// Usage: the address or the key is invalid.
    pub(crate) fn new(settings: &settings::Client) -> Result<Self> {
        Self::of(settings.server()?, settings.token(), settings.timeout.get())
    }

    /// A client of this server.
    ///
    /// # Errors
    /// Usage: the key contains characters that are not allowed in a header.
    pub(crate) fn of(base: Url, token: Option<&str>, timeout: Duration) -> Result<Self> {
        let token = token.map(bearer).transpose()?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("posthaste/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        if base.host_str().is_some_and(is_loopback) {
            http = http.no_proxy();
        }
        let http =
            http.build().map_err(|error| Failure::error("cannot create an HTTP client").because(error))?;
        Ok(Self { http, base, token, timeout })
    }

    /// The server's address.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether others on the network can read the key and the messages: plain HTTP to another computer.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        self.base.scheme() == "http" && !self.base.host_str().is_some_and(is_loopback)
    }

    /// Whether there is an API key.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A request to a path of the server, such as `/v1/orders`. It has no timeout yet.
    pub(crate) fn request(&self, method: Method, path: &str, query: &Query<'_>) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let mut request = self.http.request(method, url);
        if !query.is_empty() {
            request = request.query(query);
        }
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    /// GET of a JSON document.
    ///
    /// # Errors
    /// No response, an error response, or one that is not understood.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<T> {
        let request = self.request(Method::GET, path, query).timeout(self.timeout);
        self.json(self.answer(request).await?).await
    }

    /// A request with a JSON body and a JSON response.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let request = self.request(method, path, &[]).timeout(self.timeout).json(body);
        self.json(self.answer(request).await?).await
    }

    /// POST of a JSON body; the caller explains an error response.
    ///
    /// # Errors
    /// No response, or one that is not understood.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<std::result::Result<T, (Problem, Option<u64>)>> {
        let request = self.request(Method::POST, path, &[]).timeout(self.timeout).json(body);
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        if answer.status().is_success() {
            return self.json(answer).await.map(Ok);
        }
        self.problem(answer).await.map(Err)
    }

    /// DELETE; the body of the response is ignored.
    ///
    /// # Errors
    /// No response, or an error response.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.answer(self.request(Method::DELETE, path, &[]).timeout(self.timeout)).await.map(drop)
    }

    /// GET of a stream that may stay open for hours, but must not be silent.
    ///
    /// # Errors
    /// No response, or an error response.
    pub(crate) async fn stream(&self, request: RequestBuilder) -> Result<Response> {
        // Limits the time until the response headers arrive; the reader limits the time between pieces.
        match tokio::time::timeout(self.timeout, self.answer(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unreachable().because(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }

    /// How long a stream may be silent.
    pub(crate) fn silence(&self) -> Duration {
        SILENCE
    }

    /// Sends a request and returns a successful response.
    ///
    /// # Errors
    /// No response, or an error response.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (problem, retry_after) = self.problem(answer).await?;
        Err(problem.into_failure(retry_after))
    }

    /// Reads an error response.
    ///
    /// # Errors
    /// The connection was lost meanwhile.
    pub(crate) async fn problem(&self, mut answer: Response) -> Result<(Problem, Option<u64>)> {
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.lost(error))? {
            body.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES - body.len())]);
        }
        let mut problem = Problem::read(status.as_u16(), &body);
        if problem.title.is_empty() && problem.detail.is_none() {
            problem.title = match status {
                StatusCode::UNAUTHORIZED => "the API key is missing or unknown".to_owned(),
                StatusCode::NOT_FOUND => "not found".to_owned(),
                other => other.canonical_reason().unwrap_or_default().to_owned(),
            };
        }
        Ok((problem, retry_after))
    }

    /// Reads a response as JSON.
    ///
    /// # Errors
    /// The connection was lost, or the body is not the expected JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T> {
        let body = answer.bytes().await.map_err(|error| self.lost(error))?;
        serde_json::from_slice(&body).map_err(|error| self.not_understood(error))
    }

    /// The failure for an unexpected response.
    pub(crate) fn not_understood(&self, error: serde_json::Error) -> Failure {
        // The parser's text may contain a part of the response; place and kind are enough.
        let what = format!("{:?} at line {} column {}", error.classify(), error.line(), error.column());
        Failure::error(format!("unexpected response from {}: {what}", self.base))
            .remedy("Check that this is the address of a Posthaste queue of the same version.")
    }

    /// The failure for a request without a response.
    pub(crate) fn lost(&self, error: reqwest::Error) -> Failure {
        // Without its URL: the query may contain an address.
        self.unreachable().because(error.without_url())
    }

    fn unreachable(&self) -> Failure {
        Failure::new(Kind::Unreachable, format!("no response from {}", self.base)).remedy(
            "Check that it is running. To start everything on this computer, run `posthaste dev`; to use another server, \
             add --server URL.",
        )
    }
}

fn bearer(token: &str) -> Result<header::HeaderValue> {
    let mut value = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        Failure::usage("the API key contains invalid characters")
            .remedy("Check that --token-file names the right file.")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
