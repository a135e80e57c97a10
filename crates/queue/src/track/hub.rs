//! The orders that are tracked: one task for each, however many follow it.
//!
//! The task looks when the history's keyspace event says so, but at most every [`Trackers::pause`], and every
//! [`Trackers::look_every`] regardless: events are a hint. The last follower's end ends the task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use posthaste_model::Suffix;
use posthaste_store::{CallError, Glance, Store, Unreadable};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::receipts::Receipts;
use crate::settings::Trackers;
use crate::view::{OrderState, OrderView, Provenance};

/// What a look at an order told.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its revision.
    pub(crate) revision: u64,
    /// Its state.
    pub(crate) state: OrderState,
    /// Whether its last row is final.
    pub(crate) ended: bool,
    /// The view as JSON, shared by all who send it.
    pub(crate) json: Bytes,
}

/// What is known of a tracked order.
#[derive(Debug, Clone)]
pub(crate) enum Looked {
    /// Nobody looked yet, or no look succeeded.
    NotYet,
    /// There is no such order (yet).
    Absent,
    /// It is there.
    Seen(Arc<Seen>),
    /// It is there and can't be read.
    Unreadable(Unreadable),
}

impl Looked {
    /// How often the order was touched: its acceptance is the first time, when its revision is still 0.
    pub(crate) fn touches(&self) -> u64 {
        if let Self::Seen(seen) = self { seen.revision.saturating_add(1) } else { 0 }
    }

    fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Seen(one), Self::Seen(two)) => one.revision != two.revision || one.state != two.state,
            (Self::Absent, Self::Absent) | (Self::NotYet, Self::NotYet) => false,
            (Self::Unreadable(one), Self::Unreadable(two)) => one != two,
            _ => true,
        }
    }
}

type Entries = Arc<Mutex<HashMap<Suffix, Weak<Followed>>>>;

/// The orders that are tracked.
#[derive(Debug)]
pub(crate) struct Hub {
    store: Store,
    receipts: Receipts,
    pause: Duration,
    look_every: Duration,
    entries: Entries,
}

/// One tracked order.
#[derive(Debug)]
struct Followed {
    suffix: Suffix,
    looked: watch::Receiver<Looked>,
    task: AbortHandle,
    entries: Entries,
}

/// Follows one order.
#[derive(Debug)]
pub(crate) struct Follower {
    looked: watch::Receiver<Looked>,
    _followed: Arc<Followed>,
}

fn lock(entries: &Entries) -> MutexGuard<'_, HashMap<Suffix, Weak<Followed>>> {
    // A plain map: whole even if a holder panicked.
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(store: Store, receipts: Receipts, settings: &Trackers) -> Self {
        let (pause, look_every) = (settings.pause.get(), settings.look_every.get());
        Self { store, receipts, pause, look_every: look_every.max(pause), entries: Entries::default() }
    }

    /// Follows an order, which need not be there yet.
    pub(crate) fn follow(&self, suffix: &Suffix) -> Follower {
        let mut entries = lock(&self.entries);
        if let Some(followed) = entries.get(suffix).and_then(Weak::upgrade) {
            return Follower { looked: followed.looked.clone(), _followed: followed };
        }
        let (tell, looked) = watch::channel(Looked::NotYet);
        let watcher = Watcher {
            store: self.store.clone(),
            receipts: self.receipts.clone(),
            suffix: suffix.clone(),
            pause: self.pause,
            look_every: self.look_every,
        };
        let task = tokio::spawn(watcher.run(tell)).abort_handle();
        let followed = Arc::new(Followed {
            suffix: suffix.clone(),
            looked: looked.clone(),
            task,
            entries: Arc::clone(&self.entries),
        });
        entries.insert(suffix.clone(), Arc::downgrade(&followed));
        Follower { looked, _followed: followed }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
        let mut entries = lock(&self.entries);
        // Somebody may have begun to follow anew meanwhile.
        if entries.get(&self.suffix).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.suffix);
        }
    }
}

impl Follower {
    /// What is known now.
    pub(crate) fn now(&mut self) -> Looked {
        self.looked.borrow_and_update().clone()
    }

    /// Waits until something else is known. May be dropped and called again at any time.
    pub(crate) async fn changed(&mut self) -> Looked {
        if self.looked.changed().await.is_err() {
            // The task ended: nothing will ever change. Only a panic does that, which is logged.
            std::future::pending::<()>().await;
        }
        self.now()
    }

    /// The first that is known.
    pub(crate) async fn first(&mut self) -> Looked {
        let mut looked = self.now();
        while matches!(looked, Looked::NotYet) {
            looked = self.changed().await;
        }
        looked
    }
}

/// The task of one order.
struct Watcher {
    store: Store,
    receipts: Receipts,
    suffix: Suffix,
    pause: Duration,
    look_every: Duration,
}

impl Watcher {
    async fn run(self, tell: watch::Sender<Looked>) {
        let mut watch = self.store.watch_history(&self.suffix);
        let mut last: Option<Glance> = None;
        let mut provenance: Option<Provenance> = None;
        loop {
            // In a box for as long as it looks: thousands of these tasks mostly sleep.
            let looked = Box::pin(self.look(&mut last, &mut provenance)).await;
            let looked = match looked {
                Err(error) => error.unreadable().map(Looked::Unreadable).ok_or(error),
                looked => looked,
            };
            match looked {
                Ok(looked) => {
                    tell.send_if_modified(|known| {
                        let differs = known.differs(&looked);
                        if differs {
                            *known = looked;
                        }
                        differs
                    });
                }
                Err(error) => tracing::debug!(%error, "a tracked order could not be read"),
            }
            sleep(self.pause).await;
            tokio::select! {
                () = watch.changed() => {}
                () = sleep(self.look_every.saturating_sub(self.pause)) => {}
            }
        }
    }

    async fn look(
        &self,
        last: &mut Option<Glance>,
        provenance: &mut Option<Provenance>,
    ) -> Result<Looked, CallError> {
        let Some(glance) = self.store.glance(&self.suffix, last.as_ref()).await? else {
            return Ok(Looked::Absent);
        };
        if provenance.is_none() {
            let content = self.store.order_content(&self.suffix).await?;
            *provenance = Some(content.as_deref().map(Provenance::from).unwrap_or_default());
        }
        let receipts = self.receipts.said().await?;
        let view = OrderView::new(&self.suffix, &glance, provenance.clone().unwrap_or_default(), &receipts);
        let ended = glance.finished.is_some();
        *last = Some(glance);
        // A view holds texts and numbers alone: writing it cannot fail.
        let json = serde_json::to_vec(&view).unwrap_or_default().into();
        Ok(Looked::Seen(Arc::new(Seen { revision: view.revision, state: view.state, ended, json })))
    }
}
