//! A fake provider: an HTTP server that records every request and answers as the test wants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Result;
use crate::http::{HttpReply, HttpRequest, HttpServer};

/// What a provider's API understands, and what it remembers.
pub trait ProviderApi: Default + Send + Sync + 'static {
    /// A request as the API means it.
    type Request: Clone + Send + 'static;

    /// Reads a request.
    fn read(raw: &HttpRequest) -> Self::Request;

    /// Whether a request carries messages; others are checks and searches.
    fn is_message(request: &Self::Request) -> bool;

    /// The answer if all is well.
    fn accept(&self, request: &Self::Request) -> HttpReply;
}

type Answering<A> = dyn Fn(&A, &<A as ProviderApi>::Request) -> HttpReply + Send + Sync;

/// A fake provider on loopback.
pub struct FakeProvider<A: ProviderApi> {
    server: HttpServer,
    state: Arc<State<A>>,
}

struct State<A: ProviderApi> {
    api: Arc<A>,
    log: Mutex<Vec<A::Request>>,
    answering: Mutex<Arc<Answering<A>>>,
}

impl<A: ProviderApi> State<A> {
    fn answer(&self, request: A::Request) -> HttpReply {
        lock(&self.log).push(request.clone());
        let how = Arc::clone(&lock(&self.answering));
        how(&self.api, &request)
    }
}

impl<A: ProviderApi> FakeProvider<A> {
    /// Starts one that accepts everything. Must be called inside a tokio runtime.
    ///
    /// # Panics
    /// If no port is available: the test can't be made.
    pub async fn start() -> Arc<Self> {
        let answering: Arc<Answering<A>> = Arc::new(A::accept);
        let state =
            Arc::new(State { api: Arc::default(), log: Mutex::default(), answering: Mutex::new(answering) });
        let requested = Arc::clone(&state);
        let server = HttpServer::start(move |raw| requested.answer(A::read(&raw))).await;
        Arc::new(Self { server: server.expect("a port"), state })
    }

    /// Its URL, such as `http://127.0.0.1:1234`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What the API remembers.
    #[must_use]
    pub fn api(&self) -> Arc<A> {
        Arc::clone(&self.state.api)
    }

    /// Accepts all requests that arrive from now on.
    pub fn accept(&self) {
        self.answer_with(A::accept);
    }

    /// Answers requests that arrive from now on this way.
    pub fn answer(&self, how: impl Fn(&A::Request) -> HttpReply + Send + Sync + 'static) {
        self.answer_with(move |_, request| how(request));
    }

    /// The same, with what the API remembers.
    pub fn answer_with(&self, how: impl Fn(&A, &A::Request) -> HttpReply + Send + Sync + 'static) {
        *lock(&self.state.answering) = Arc::new(how);
    }

    /// Answers requests with messages with these replies in turn, and accepts all others and those after the last reply.
    pub fn script(&self, replies: Vec<HttpReply>) {
        let replies = Mutex::new(replies.into_iter());
        self.answer_with(move |api, request| {
            let reply = A::is_message(request).then(|| lock(&replies).next()).flatten();
            reply.unwrap_or_else(|| api.accept(request))
        });
    }

    /// The requests so far.
    #[must_use]
    pub fn log(&self) -> Vec<A::Request> {
        lock(&self.state.log).clone()
    }

    /// The requests with messages so far.
    #[must_use]
    pub fn messages(&self) -> Vec<A::Request> {
        self.log().into_iter().filter(A::is_message).collect()
    }

    /// The other requests so far.
    #[must_use]
    pub fn lookups(&self) -> Vec<A::Request> {
        self.log().into_iter().filter(|request| !A::is_message(request)).collect()
    }

    /// Closes everything: clients can no longer connect. Returns once they have seen it.
    pub async fn close(&self) {
        self.server.close().await;
    }

    /// Accepts connections again, on the same port.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when another process has taken the port meanwhile.
    pub async fn open(&self) -> Result<()> {
        self.server.open().await
    }
}

/// A test that panicked while it held the lock has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
