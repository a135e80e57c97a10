//! A transport that listens and reports to a feedback sink in memory.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::net::SocketAddr;
use std::sync::Arc;

use posthaste_courier::conformance::ServedTransport;
use posthaste_courier::recording_sink::RecordingSink;
use posthaste_courier::{ConsentNotice, NoticeMoment};
use posthaste_courier_email::{EmailTransport, Open};
use posthaste_rig::eventually;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A transport that listens.
pub(crate) struct Served {
    pub(crate) email: Arc<EmailTransport>,
    pub(crate) sink: Arc<RecordingSink>,
    pub(crate) open: Open,
    pub(crate) served: ServedTransport<EmailTransport>,
}

impl Served {
    pub(crate) async fn start(email: EmailTransport) -> Self {
        let (email, sink) = (Arc::new(email), Arc::<RecordingSink>::default());
        let served = ServedTransport::start(Arc::clone(&email), Arc::clone(&sink));
        let open = eventually("the ports", || email.open().cloned().ok_or("not open"));
        Self { email, sink, open, served }
    }

    pub(crate) fn bounces(&self) -> SocketAddr {
        self.open.bounces.unwrap()
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
