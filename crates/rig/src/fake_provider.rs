//! A fake provider: an HTTP server that records every request and answers as the test wants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Result;
use crate::http::{HttpReply, HttpRequest, HttpServer};

type Answering<R> = dyn Fn(&R) -> HttpReply + Send + Sync;

/// A fake provider on loopback. `R` is a request as its API means it.
pub struct FakeProvider<R> {
    server: HttpServer,
    state: Arc<State<R>>,
}

struct State<R> {
    log: Mutex<Vec<R>>,
    answering: Mutex<Arc<Answering<R>>>,
}

impl<R: Clone + Send + 'static> State<R> {
    fn answer(&self, request: R) -> HttpReply {
        lock(&self.log).push(request.clone());
        let how = Arc::clone(&lock(&self.answering));
        how(&request)
    }
}

impl<R: Clone + Send + 'static> FakeProvider<R> {
    /// Starts one that understands requests with `read` and answers with `how`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when no port is available.
    pub async fn start(
        read: impl Fn(&HttpRequest) -> R + Send + Sync + 'static,
        how: impl Fn(&R) -> HttpReply + Send + Sync + 'static,
    ) -> Result<Self> {
        let answering: Arc<Answering<R>> = Arc::new(how);
        let state = Arc::new(State { log: Mutex::default(), answering: Mutex::new(answering) });
        let requested = Arc::clone(&state);
        let server = HttpServer::start(move |raw| requested.answer(read(&raw))).await?;
        Ok(Self { server, state })
    }

    /// Its URL, such as `http://127.0.0.1:1234`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Answers requests that arrive from now on this way.
    pub fn answer(&self, how: impl Fn(&R) -> HttpReply + Send + Sync + 'static) {
        *lock(&self.state.answering) = Arc::new(how);
    }

    /// Answers the requests that `counts` selects with these replies in turn; all others, and those after the last
    /// reply, with `otherwise`.
    pub fn script(
        &self,
        replies: Vec<HttpReply>,
        counts: impl Fn(&R) -> bool + Send + Sync + 'static,
        otherwise: impl Fn(&R) -> HttpReply + Send + Sync + 'static,
    ) {
        let replies = Mutex::new(replies.into_iter());
        self.answer(move |request| {
            let reply = counts(request).then(|| lock(&replies).next()).flatten();
            reply.unwrap_or_else(|| otherwise(request))
        });
    }

    /// The requests so far.
    #[must_use]
    pub fn log(&self) -> Vec<R> {
        lock(&self.state.log).clone()
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
