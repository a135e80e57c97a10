//! A server that gives prepared responses in turn and keeps its requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use posthaste_client::{ApiError, Client, ClientOptions};
use posthaste_rig::http::{HttpReply, HttpRequest, HttpServer};
use secrecy::SecretString;
use serde_json::Value;

/// The key that must never be shown.
pub(crate) const KEY: &str = "ph_canary000000_CanaryCanaryCanaryCanaryCanaryCanaryCanary0";

/// A server and its client.
pub(crate) struct Scene {
    /// The client.
    pub(crate) client: Client,
    requests: Arc<Mutex<Vec<HttpRequest>>>,
    server: HttpServer,
}

impl Scene {
    /// A server with these responses; the last one is repeated.
    pub(crate) async fn with(replies: impl IntoIterator<Item = HttpReply>) -> Self {
        let replies: Mutex<VecDeque<HttpReply>> = Mutex::new(replies.into_iter().collect());
        let requests: Arc<Mutex<Vec<HttpRequest>>> = Arc::default();
        let kept = Arc::clone(&requests);
        let server = HttpServer::start(move |request| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
            let next = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
            next.expect("a reply")
        });
        let server = server.await.expect("a server");
        let client = client(&server.url(), Duration::from_secs(20));
        Self { client, requests, server }
    }

    /// A client of the same server with another timeout.
    pub(crate) fn client_within(&self, timeout: Duration) -> Client {
        client(&self.server.url(), timeout)
    }

    /// Stops the server.
    pub(crate) async fn close(&self) {
        self.server.close().await;
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> HttpRequest {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<HttpRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client of this server.
pub(crate) fn client(server: &str, timeout: Duration) -> Client {
    let server = server.parse().expect("an address");
    let token = Some(SecretString::from(KEY));
    Client::new(ClientOptions { server, token, timeout }).expect("a client")
}

/// A response with a JSON document.
pub(crate) fn json(status: u16, body: Value) -> HttpReply {
    HttpReply::Say(status, "content-type: application/json\r\n".to_owned(), body.to_string())
}

/// Method and target of a request.
pub(crate) fn line(request: &HttpRequest) -> String {
    format!("{} {}", request.verb, request.target)
}

/// A header of a request.
pub(crate) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The body of a request as JSON.
pub(crate) fn body(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// The error, after checking that it shows nothing secret.
pub(crate) fn refused<T>(result: Result<T, ApiError>) -> ApiError {
    let Err(error) = result else { panic!("it was not refused") };
    let shown = format!("{error} {error:?} {}", error.with_causes());
    assert!(!shown.to_lowercase().contains("canary"), "{shown}");
    error
}
