//! A transport that listens and reports to a feedback sink in memory.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::net::SocketAddr;
use std::sync::Arc;

use posthaste_courier::recording_sink::RecordingSink;
use posthaste_courier::{ConsentNotice, NoticeMoment, Transport};
use posthaste_courier_email::{EmailTransport, Open};
use posthaste_rig::eventually;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A transport that listens.
pub(crate) struct Served {
    pub(crate) email: Arc<EmailTransport>,
    pub(crate) sink: Arc<RecordingSink>,
    pub(crate) open: Open,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), String>>,
}

impl Served {
    pub(crate) async fn start(email: EmailTransport) -> Self {
        let (email, sink, stop) =
            (Arc::new(email), Arc::new(RecordingSink::default()), CancellationToken::new());
        let task = tokio::spawn({
            let (email, sink, stop) = (Arc::clone(&email), Arc::clone(&sink), stop.clone());
            async move { email.serve(sink, stop).await }
        });
        let open = eventually("the ports", || email.open().cloned().ok_or("not open"));
        Self { email, sink, open, stop, task }
    }

    pub(crate) fn bounces(&self) -> SocketAddr {
        self.open.bounces.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The names by which copies of the notices it received are recognised. It heard each of them itself.
pub(crate) fn named(served: &Served) -> Vec<Option<String>> {
    let name = |notice: &ConsentNotice| {
        assert!(matches!(notice.said(), NoticeMoment::Received(_)));
        notice.name().map(str::to_owned)
    };
    served.sink.notices().iter().map(name).collect()
}
