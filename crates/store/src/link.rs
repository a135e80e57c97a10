//! Whether there is a connection, and how often there was none.

use tokio::sync::watch;
use tokio::time::Instant;

/// The connection of a store, as [`crate::Store::connection`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whether calls can be made.
    pub up: bool,
    /// Since when this is so.
    pub since: Instant,
    /// The run id of the server (of a cluster: of its servers, joined by commas).
    pub run_id: String,
    /// How often the connection was lost.
    pub losses: u64,
    /// How often the server was another run than before: restarted, or another one took over.
    pub restarts: u64,
}

/// The one who says so.
#[derive(Debug)]
pub(crate) struct LinkState(watch::Sender<Link>);

impl LinkState {
    pub(crate) fn new(run_id: String) -> Self {
        let link = Link { up: true, since: Instant::now(), run_id, losses: 0, restarts: 0 };
        Self(watch::Sender::new(link))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Link> {
        self.0.subscribe()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.borrow().up
    }

    pub(crate) fn run_id(&self) -> String {
        self.0.borrow().run_id.clone()
    }

    /// The connection is lost; nothing changes when it was.
    pub(crate) fn down(&self) {
        let lost = self.0.send_if_modified(|link| {
            if link.up {
                *link = Link { up: false, since: Instant::now(), losses: link.losses + 1, ..link.clone() };
            }
            !link.up
        });
        if lost {
            metrics::counter!("posthaste_store_connection_losses_total").increment(1);
        }
    }

    /// There is a checked connection to this run of the server.
    pub(crate) fn up(&self, run_id: String) {
        self.0.send_if_modified(|link| {
            let other = link.run_id != run_id;
            if link.up && !other {
                return false;
            }
            let since = if link.up { link.since } else { Instant::now() };
            *link = Link {
                up: true,
                since,
                run_id,
                restarts: link.restarts + u64::from(other),
                losses: link.losses,
            };
            true
        });
    }
}
