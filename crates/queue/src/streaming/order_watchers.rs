//! Tracked orders: one task for each, however many trackers follow it.
//!
//! The task reads the order when the history's keyspace event arrives, but at most every [`Trackers::pause`], and
//! every [`Trackers::check_every`] in any case: events are only a hint. The task ends when the last follower is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use posthaste_model::OrderId;
use posthaste_store::{CallError, OrderSummary, Store, UnreadableRecord};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::order_response::{OrderStatus, OrderView, Provenance};
use crate::receipt_channels::Receipts;
use crate::settings::Trackers;

/// Result of reading an order.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its revision.
    pub(crate) revision: u64,
    /// Its status.
    pub(crate) status: OrderStatus,
    /// Whether its last delivery is final.
    pub(crate) ended: bool,
    /// The view as JSON, shared by all trackers that send it.
    pub(crate) json: Bytes,
}

/// What is known of a tracked order.
#[derive(Debug, Clone)]
pub(crate) enum Looked {
    /// It was not read yet, or no read succeeded.
    NotYet,
    /// The order does not exist (yet).
    Absent,
    /// The order exists.
    Seen(Arc<Seen>),
    /// The order exists and can't be read.
    Unreadable(UnreadableRecord),
}

impl Looked {
    /// How often the order was touched: its acceptance is the first touch, when its revision is still 0.
    pub(crate) fn touches(&self) -> u64 {
        if let Self::Seen(seen) = self { seen.revision.saturating_add(1) } else { 0 }
    }

    fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Seen(one), Self::Seen(two)) => one.revision != two.revision || one.status != two.status,
            (Self::Absent, Self::Absent) | (Self::NotYet, Self::NotYet) => false,
            (Self::Unreadable(one), Self::Unreadable(two)) => one != two,
            _ => true,
        }
    }
}

type Entries = Arc<Mutex<HashMap<OrderId, Weak<Followed>>>>;

/// All tracked orders.
#[derive(Debug)]
pub(crate) struct OrderWatchers {
    store: Store,
    receipts: Receipts,
    pause: Duration,
    check_every: Duration,
    entries: Entries,
}

/// One tracked order.
#[derive(Debug)]
struct Followed {
    order_id: OrderId,
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

fn lock(entries: &Entries) -> MutexGuard<'_, HashMap<OrderId, Weak<Followed>>> {
    // A plain map: intact even if a holder panicked.
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OrderWatchers {
    pub(crate) fn new(store: Store, receipts: Receipts, settings: &Trackers) -> Self {
        let (pause, check_every) = (settings.pause.get(), settings.check_every.get());
        Self { store, receipts, pause, check_every: check_every.max(pause), entries: Entries::default() }
    }

    /// Follows an order, which need not exist yet.
    pub(crate) fn follow(&self, order_id: &OrderId) -> Follower {
        let mut entries = lock(&self.entries);
        if let Some(followed) = entries.get(order_id).and_then(Weak::upgrade) {
            return Follower { looked: followed.looked.clone(), _followed: followed };
        }
        let (tell, looked) = watch::channel(Looked::NotYet);
        let watcher = Watcher {
            store: self.store.clone(),
            receipts: self.receipts.clone(),
            order_id: order_id.clone(),
            pause: self.pause,
            check_every: self.check_every,
        };
        let task = tokio::spawn(watcher.run(tell)).abort_handle();
        let followed = Arc::new(Followed {
            order_id: order_id.clone(),
            looked: looked.clone(),
            task,
            entries: Arc::clone(&self.entries),
        });
        entries.insert(order_id.clone(), Arc::downgrade(&followed));
        Follower { looked, _followed: followed }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
        let mut entries = lock(&self.entries);
        // Another tracker may have started to follow the order again meanwhile.
        if entries.get(&self.order_id).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.order_id);
        }
    }
}

impl Follower {
    /// What is known now.
    pub(crate) fn now(&mut self) -> Looked {
        self.looked.borrow_and_update().clone()
    }

    /// Waits for a change. Cancel-safe: may be dropped and called again at any time.
    pub(crate) async fn changed(&mut self) -> Looked {
        if self.looked.changed().await.is_err() {
            // The task ended, so nothing will change any more. Only a panic causes this, and panics are logged.
            std::future::pending::<()>().await;
        }
        self.now()
    }

    /// The first result.
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
    order_id: OrderId,
    pause: Duration,
    check_every: Duration,
}

impl Watcher {
    async fn run(self, tell: watch::Sender<Looked>) {
        let mut watch = self.store.watch_history(&self.order_id);
        let mut last: Option<OrderSummary> = None;
        let mut provenance: Option<Provenance> = None;
        loop {
            // Boxed only while reading: thousands of these tasks mostly sleep.
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
                Err(error) => tracing::debug!(%error, "could not read a tracked order; trying again"),
            }
            sleep(self.pause).await;
            tokio::select! {
                () = watch.changed() => {}
                () = sleep(self.check_every.saturating_sub(self.pause)) => {}
            }
        }
    }

    async fn look(
        &self,
        last: &mut Option<OrderSummary>,
        provenance: &mut Option<Provenance>,
    ) -> Result<Looked, CallError> {
        let Some(summary) = self.store.order_summary(&self.order_id, last.as_ref()).await? else {
            return Ok(Looked::Absent);
        };
        if provenance.is_none() {
            *provenance = Some(Provenance::read(&self.store, &self.order_id).await?);
        }
        let receipts = self.receipts.current().await?;
        let view =
            OrderView::new(&self.order_id, &summary, provenance.clone().unwrap_or_default(), &receipts);
        let ended = summary.finished.is_some();
        *last = Some(summary);
        // A view holds only texts and numbers: serializing it cannot fail.
        let json = serde_json::to_vec(&view).unwrap_or_default().into();
        Ok(Looked::Seen(Arc::new(Seen { revision: view.revision, status: view.status, ended, json })))
    }
}
