//! The connection to the queue: one request, one answer, and failures named by what the user does next.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Problem;
use crate::failure::{Failure, Kind, Result};
use crate::settings;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A stream that says nothing for so long is dead: the server sends a heartbeat every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// The body of a refusal is read up to so many bytes.
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
    /// A client as the settings say.
    ///
    /// # Errors
    /// Usage: the address or the key cannot be used.
    pub(crate) fn new(settings: &settings::Client) -> Result<Self> {
        Self::of(settings.server()?, settings.token(), settings.timeout.get())
    }

    /// A client of this server.
    ///
    /// # Errors
    /// Usage: the key cannot stand in a header.
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
            http.build().map_err(|error| Failure::error("cannot make an HTTP client").because(error))?;
        Ok(Self { http, base, token, timeout })
    }

    /// Where the server is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether what is sent and the key with it can be read on the way: plain HTTP to another computer.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        self.base.scheme() == "http" && !self.base.host_str().is_some_and(is_loopback)
    }

    /// Whether there is a key to show.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A request to a path of the server, such as `/v1/orders`. It has no time limit of its own yet.
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
    /// No answer, a refusal, or an answer that is not understood.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<T> {
        let request = self.request(Method::GET, path, query).timeout(self.timeout);
        self.json(self.answer(request).await?).await
    }

    /// A request with a JSON body, answered by a JSON document.
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

    /// POST of a JSON body; a refusal is the caller's to explain.
    ///
    /// # Errors
    /// No answer, or one that is not understood.
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

    /// DELETE; what is answered does not matter.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.answer(self.request(Method::DELETE, path, &[]).timeout(self.timeout)).await.map(drop)
    }

    /// GET of a stream that may stay open for hours, but not silent.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub(crate) async fn stream(&self, request: RequestBuilder) -> Result<Response> {
        // The time until the head of the answer is bounded here, the time between two pieces by whoever reads.
        match tokio::time::timeout(self.timeout, self.answer(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unreachable().because(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }

    /// How long a stream may be silent.
    pub(crate) fn silence(&self) -> Duration {
        SILENCE
    }

    /// Sends a request and takes any answer that is no refusal.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (problem, retry_after) = self.problem(answer).await?;
        Err(problem.into_failure(retry_after))
    }

    /// Reads a refusal.
    ///
    /// # Errors
    /// The connection broke meanwhile.
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
                StatusCode::UNAUTHORIZED => "the key is missing or not known".to_owned(),
                StatusCode::NOT_FOUND => "there is no such thing".to_owned(),
                other => other.canonical_reason().unwrap_or_default().to_owned(),
            };
        }
        Ok((problem, retry_after))
    }

    /// Reads an answer as JSON.
    ///
    /// # Errors
    /// The connection broke, or it is something else.
    pub(crate) async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T> {
        let body = answer.bytes().await.map_err(|error| self.lost(error))?;
        serde_json::from_slice(&body).map_err(|error| self.not_understood(error))
    }

    /// The failure for an answer that is not what was asked for.
    pub(crate) fn not_understood(&self, error: serde_json::Error) -> Failure {
        // The parser's text may repeat a piece of the answer; where and what kind of thing is enough.
        let what = format!("{:?} at line {} column {}", error.classify(), error.line(), error.column());
        Failure::error(format!("{} answered something else than expected: {what}", self.base))
            .mend("Is that address a Posthaste queue of this version?")
    }

    /// The failure for a request without an answer.
    pub(crate) fn lost(&self, error: reqwest::Error) -> Failure {
        // Without its URL: the query may hold an address.
        self.unreachable().because(error.without_url())
    }

    fn unreachable(&self) -> Failure {
        Failure::new(Kind::Unreachable, format!("no answer from {}", self.base)).mend(
            "Is it running? `posthaste dev` starts everything on this computer; --server says where another one is.",
        )
    }
}

fn bearer(token: &str) -> Result<header::HeaderValue> {
    let mut value = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        Failure::usage("the key has characters that no key has").mend("Is its file the right one?")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
