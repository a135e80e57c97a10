//! Whether there is a connection, and how often it was lost.

use tokio::sync::watch;
use tokio::time::Instant;

/// The connection of a store, as [`crate::Store::connection`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whether calls can be made; in a cluster, to at least one partition, see [`crate::Store::can_ask`].
    pub up: bool,
    /// Since when.
    pub since: Instant,
    /// The run id of the server (in a cluster, of its servers, joined by commas).
    pub run_id: String,
    /// How often the connection was lost; in a cluster, the connection to any of its primaries.
    pub losses: u64,
    /// How often the server had a new run: it restarted, or another one took over.
    pub restarts: u64,
}

impl Link {
    /// Whether calls could be made all the time between the two, to the same run of the server. The loss of one of several
    /// connections is no interruption.
    #[must_use]
    pub fn is_uninterrupted(&self, before: &Self) -> bool {
        self.up && before.up && (&self.run_id, self.since) == (&before.run_id, before.since)
    }
}

/// The sender of the link state.
#[derive(Debug)]
pub(crate) struct LinkState(watch::Sender<Link>);

impl LinkState {
    /// There is no connection yet.
    pub(crate) fn down() -> Self {
        let link = Link { up: false, since: Instant::now(), run_id: String::new(), losses: 0, restarts: 0 };
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

    /// The connection is lost; `still_up` if it is one of several and calls can still be made. Returns whether it was
    /// up before.
    pub(crate) fn lost(&self, still_up: bool) -> bool {
        self.0.send_if_modified(|link| {
            if !link.up {
                return false;
            }
            let since = if still_up { link.since } else { Instant::now() };
            *link = Link { up: still_up, since, losses: link.losses + 1, ..link.clone() };
            true
        })
    }

    /// There is a checked connection to this run of the server.
    pub(crate) fn up(&self, run_id: String) {
        self.0.send_if_modified(|link| {
            let other = link.run_id != run_id;
            // The first run is not a restart.
            let restarted = other && !link.run_id.is_empty();
            if link.up && !other {
                return false;
            }
            let since = if link.up { link.since } else { Instant::now() };
            *link = Link {
                up: true,
                since,
                run_id,
                restarts: link.restarts + u64::from(restarted),
                losses: link.losses,
            };
            true
        });
    }
}
