//! A receiver of webhooks on loopback: records every request, answers as told.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::{Arc, Mutex};

use posthaste_rig::http::{HttpReply, HttpRequest, HttpServer};
use serde_json::Value;
use tokio::time::Instant;

/// An accepted message: its path, its id, its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedRequest {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) text: String,
}

type Answering = dyn Fn(&HttpRequest) -> (HttpReply, bool) + Send + Sync;

#[derive(Default)]
struct Book {
    requests: Mutex<Vec<HttpRequest>>,
    taken: Mutex<Vec<ReceivedRequest>>,
    answering: Mutex<Option<Box<Answering>>>,
}

/// The receiver.
pub(crate) struct Receiver {
    server: HttpServer,
    book: Arc<Book>,
}

/// An answer without headers and body.
pub(crate) fn status(status: u16) -> HttpReply {
    HttpReply::Say(status, String::new(), String::new())
}

impl Receiver {
    /// A receiver that accepts everything.
    pub(crate) async fn start() -> Self {
        let book = Arc::new(Book::default());
        let own = Arc::clone(&book);
        let server = HttpServer::start(move |request| own.answer(request)).await.unwrap();
        Self { server, book }
    }

    /// Host and port.
    pub(crate) fn place(&self) -> String {
        self.server.url().strip_prefix("http://").unwrap().to_owned()
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.place().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// The address of a recipient.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// From now on answers with this; the flag says whether the message was accepted.
    pub(crate) fn answer(
        &self,
        answering: impl Fn(&HttpRequest) -> (HttpReply, bool) + Send + Sync + 'static,
    ) {
        *self.book.answering.lock().unwrap() = Some(Box::new(answering));
    }

    /// Accepts no connections until [`Receiver::open`].
    pub(crate) async fn close(&self) {
        self.server.close().await;
    }

    /// Accepts connections again.
    pub(crate) async fn open(&self) {
        self.server.open().await.unwrap();
    }

    /// All requests.
    pub(crate) fn requests(&self) -> Vec<HttpRequest> {
        self.book.requests.lock().unwrap().clone()
    }

    /// When they arrived.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.requests().iter().map(|request| request.at).collect()
    }

    /// All accepted messages, without repeats.
    pub(crate) fn taken(&self) -> Vec<ReceivedRequest> {
        self.book.taken.lock().unwrap().clone()
    }
}

impl Book {
    fn answer(&self, request: HttpRequest) -> HttpReply {
        let (reply, accepted) = match &*self.answering.lock().unwrap() {
            Some(answering) => answering(&request),
            None => (status(200), true),
        };
        if accepted {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let word = |name: &str| body[name].as_str().unwrap().to_owned();
            let path = request.target.clone();
            self.taken.lock().unwrap().push(ReceivedRequest { path, id: word("id"), text: word("text") });
        }
        self.requests.lock().unwrap().push(request);
        reply
    }
}
