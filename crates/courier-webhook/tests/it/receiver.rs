//! A receiver of webhooks on loopback: records every request, answers as told.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::{Arc, Mutex};

use posthaste_rig::http::{HttpReply, HttpRequest};
use posthaste_rig::{FakeProvider, ProviderApi};
use serde_json::Value;
use tokio::time::Instant;

/// An accepted message: its path, its id, its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedRequest {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) text: String,
}

/// The accepted messages.
#[derive(Default)]
struct Inbox(Mutex<Vec<ReceivedRequest>>);

impl ProviderApi for Inbox {
    type Request = HttpRequest;

    fn read(raw: &HttpRequest) -> HttpRequest {
        raw.clone()
    }

    fn is_message(_: &HttpRequest) -> bool {
        true
    }

    fn accept(&self, request: &HttpRequest) -> HttpReply {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let word = |name: &str| body[name].as_str().unwrap().to_owned();
        let path = request.target.clone();
        self.0.lock().unwrap().push(ReceivedRequest { path, id: word("id"), text: word("text") });
        status(200)
    }
}

/// The receiver.
pub(crate) struct Receiver(Arc<FakeProvider<Inbox>>);

/// An answer without headers and body.
pub(crate) fn status(status: u16) -> HttpReply {
    HttpReply::Say(status, String::new(), String::new())
}

impl Receiver {
    /// A receiver that accepts everything.
    pub(crate) async fn start() -> Self {
        Self(FakeProvider::start().await)
    }

    /// Host and port.
    pub(crate) fn place(&self) -> String {
        self.0.url().strip_prefix("http://").unwrap().to_owned()
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.place().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// The address of a recipient.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url())
    }

    /// From now on answers with this; the flag says whether the message was accepted.
    pub(crate) fn answer(
        &self,
        answering: impl Fn(&HttpRequest) -> (HttpReply, bool) + Send + Sync + 'static,
    ) {
        self.0.answer_with(move |inbox, request| {
            let (reply, accepted) = answering(request);
            if accepted {
                inbox.accept(request);
            }
            reply
        });
    }

    /// Accepts no connections until [`Receiver::open`].
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }

    /// Accepts connections again.
    pub(crate) async fn open(&self) {
        self.0.open().await.unwrap();
    }

    /// All requests.
    pub(crate) fn requests(&self) -> Vec<HttpRequest> {
        self.0.log()
    }

    /// When they arrived.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.requests().iter().map(|request| request.at).collect()
    }

    /// All accepted messages, without repeats.
    pub(crate) fn taken(&self) -> Vec<ReceivedRequest> {
        self.0.api().0.lock().unwrap().clone()
    }
}
