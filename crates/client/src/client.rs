//! The connection to a queue: requests, responses in bounded memory, and the errors of both.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::ApiError;
use crate::problem::ApiProblem;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A stream that is silent for this long is dead: the server sends a heartbeat every 15 s.
pub(crate) const SILENCE: Duration = Duration::from_secs(45);

/// At most this many bytes of an error response are read.
const REFUSAL_BYTES: usize = 4 * 1024 * 1024;

/// A longer response is an error.
const RESPONSE_BYTES: usize = 256 * 1024 * 1024;

/// The header that makes a repeated request harmless.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The query of a request.
pub(crate) type Query<'a> = [(&'a str, String)];

/// Whose client it is.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The queue's address, without the paths of its API.
    pub server: Url,
    /// The API key; a few requests need none.
    pub token: Option<SecretString>,
    /// How long to wait for one response. Uploads and streams may last longer.
    pub timeout: Duration,
}

/// A client of one queue. Copies share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<header::HeaderValue>,
    timeout: Duration,
}

/// A response that was read but not yet understood.
pub struct Fetched {
    server: Url,
    date: Option<String>,
    body: Vec<u8>,
}

/// A new idempotency key: the prefix and 128 random bits. The server knows a key for 24 hours.
#[must_use]
pub fn fresh_idempotency_key(prefix: &str) -> String {
    format!("{prefix}-{:032x}", rand::random::<u128>())
}

impl Client {
    /// A client with these options. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ApiError::Invalid`]: the address is not an `http://` or `https://` address, or contains a user name or password.
    /// [`ApiError::InvalidToken`]: the key contains characters that no header may have.
    pub fn new(options: ClientOptions) -> Result<Self, ApiError> {
        Self::build(options, None)
    }

    /// A client that sends every request over this Unix socket; the address then only gives the `Host`.
    ///
    /// # Errors
    /// Those of [`Client::new`].
    pub fn over_socket(options: ClientOptions, socket: &Path) -> Result<Self, ApiError> {
        Self::build(options, Some(socket))
    }

    fn build(options: ClientOptions, socket: Option<&Path>) -> Result<Self, ApiError> {
        let ClientOptions { server, token, timeout } = options;
        if !matches!(server.scheme(), "http" | "https") {
            return Err(ApiError::Invalid("not a valid http:// or https:// address"));
        }
        if !server.username().is_empty() || server.password().is_some() {
            return Err(ApiError::Invalid("the address contains a user name or password"));
        }
        let token = token.as_ref().map(bearer).transpose()?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("posthaste/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        if server.host_str().is_some_and(is_loopback) {
            http = http.no_proxy();
        }
        if let Some(socket) = socket {
            http = http.unix_socket(socket);
        }
        let http = http.build().map_err(|error| ApiError::Setup(error.into()))?;
        Ok(Self { http, server, token, timeout })
    }

    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &Url {
        &self.server
    }

    /// Whether others on the network can read the key and the messages: plain HTTP to another computer.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        self.server.scheme() == "http" && !self.server.host_str().is_some_and(is_loopback)
    }

    /// Whether there is an API key.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// GET of any path of the server, given by its segments, with a time limit of its own: for what has no typed request.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn fetch(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        within: Duration,
    ) -> Result<Fetched, ApiError> {
        let answer = self.answer(self.request(Method::GET, path, query).timeout(within)).await?;
        let date = answer.headers().get(header::DATE).and_then(|date| Some(date.to_str().ok()?.to_owned()));
        Ok(Fetched { server: self.server.clone(), date, body: self.body(answer).await? })
    }

    /// GET of a JSON document, as [`Client::fetch`].
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ApiError> {
        self.fetch(path, query, self.timeout).await?.json()
    }

    /// A request to a path of the server, given by its segments. It has no timeout yet.
    pub(crate) fn request(&self, method: Method, path: &[&str], query: &Query<'_>) -> RequestBuilder {
        let mut url = self.server.clone();
        // Only addresses such as `mailto:` have no path, and `new` refuses them.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http.request(method, url);
        if !query.is_empty() {
            request = request.query(query);
        }
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    /// A request with a JSON body and a JSON response; repeating it with the same key has no further effect.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, ApiError> {
        let mut request = self.request(method, path, &[]).timeout(self.timeout).json(body);
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        self.json(self.answer(request).await?).await
    }

    /// DELETE; the body of the response is ignored.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), ApiError> {
        self.answer(self.request(Method::DELETE, path, &[]).timeout(self.timeout)).await.map(drop)
    }

    /// GET of a stream that may stay open for hours, but must not be silent.
    pub(crate) async fn stream(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        // Limits the time until the response headers arrive; the reader limits the time between pieces.
        match tokio::time::timeout(self.timeout, self.answer(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.cannot_reach(io::Error::from(io::ErrorKind::TimedOut))),
        }
    }

    /// How long to wait for one response.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request and returns a successful response.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.problem(answer).await?.into())
    }

    async fn problem(&self, mut answer: Response) -> Result<ApiProblem, ApiError> {
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while body.len() < REFUSAL_BYTES {
            let Some(piece) = answer.chunk().await.map_err(|error| self.lost(error))? else { break };
            body.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES - body.len())]);
        }
        Ok(ApiProblem::read(status, retry_after, &body))
    }

    /// Reads a response as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T, ApiError> {
        let body = self.body(answer).await?;
        serde_json::from_slice(&body).map_err(|error| self.not_understood(&error))
    }

    /// Reads a response.
    pub(crate) async fn body(&self, mut answer: Response) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.lost(error))? {
            if body.len() + piece.len() > RESPONSE_BYTES {
                return Err(self.unexpected("it is too long"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The error for a response that is not the expected JSON.
    pub(crate) fn not_understood(&self, error: &serde_json::Error) -> ApiError {
        not_understood(&self.server, error)
    }

    /// The error for a response that no queue sends.
    pub(crate) fn unexpected(&self, what: &str) -> ApiError {
        ApiError::NotUnderstood { server: self.server.clone(), what: what.to_owned() }
    }

    /// The error for a request without a response.
    pub(crate) fn lost(&self, error: reqwest::Error) -> ApiError {
        // Without its URL: the query may contain an address.
        self.cannot_reach(error.without_url())
    }

    fn cannot_reach(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> ApiError {
        ApiError::CannotReach { server: self.server.clone(), source: source.into() }
    }
}

impl Fetched {
    /// The server's clock, from the header `Date`.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`ApiError::NotUnderstood`]: it is not the expected JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| not_understood(&self.server, &error))
    }

    /// The body as it arrived.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.body
    }
}

fn not_understood(server: &Url, error: &serde_json::Error) -> ApiError {
    // The parser's text may contain a part of the response; place and kind are enough.
    let what = format!("{:?} at line {} column {}", error.classify(), error.line(), error.column());
    ApiError::NotUnderstood { server: server.clone(), what }
}

fn bearer(token: &SecretString) -> Result<header::HeaderValue, ApiError> {
    let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .map_err(|_| ApiError::InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str, token: Option<&str>) -> Result<Client, ApiError> {
        let server = server.parse().expect("an address");
        let token = token.map(SecretString::from);
        Client::new(ClientOptions { server, token, timeout: Duration::from_secs(1) })
    }

    fn path(server: &str, segments: &[&str]) -> String {
        let request = client(server, None).expect("a client").request(Method::GET, segments, &[]);
        request.build().expect("a request").url().to_string()
    }

    #[test]
    fn only_web_addresses_without_a_password_are_taken() {
        for server in ["redis://h", "mailto:a@b.example", "http://u@h", "https://u:p@h"] {
            assert!(matches!(client(server, None), Err(ApiError::Invalid(_))), "{server}");
        }
        assert!(matches!(client("http://h", Some("a\nb")), Err(ApiError::InvalidToken)));
    }

    #[test]
    fn what_is_not_encrypted_is_known() {
        for (server, in_the_clear) in [
            ("http://h.example", true),
            ("https://h.example", false),
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("http://localhost", false),
            ("http://localhost.example", true),
        ] {
            assert_eq!(client(server, None).expect("a client").is_in_the_clear(), in_the_clear, "{server}");
        }
    }

    #[test]
    fn segments_of_a_path_stay_segments() {
        let segments = ["v1", "orders", "a/b?c#d %2e"];
        assert_eq!(path("http://h", &segments), "http://h/v1/orders/a%2Fb%3Fc%23d%20%252e");
        assert_eq!(path("http://h/below/", &["v1", "keys"]), "http://h/below/v1/keys");
        assert_eq!(path("http://h/below", &["v1", "keys", ".."]), "http://h/below/v1/keys");
    }

    #[test]
    fn a_client_prints_without_its_token() {
        let client = client("http://h", Some("ph_canary_secret")).expect("a client");
        assert!(client.has_token());
        let options = ClientOptions {
            server: client.server().clone(),
            token: Some(SecretString::from("ph_canary_secret")),
            timeout: Duration::ZERO,
        };
        let shown = format!("{client:?} {options:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn idempotency_keys_differ() {
        let (one, other) = (fresh_idempotency_key("test"), fresh_idempotency_key("test"));
        assert!(one.starts_with("test-") && one.len() == 37, "{one}");
        assert_ne!(one, other);
    }
}
