//! Takes back leases that are over, of every partition apart: one whose server is away delays no other. It looks when the
//! first lease it knows of ends, and as often as a lease lasts, since what is leased after a look ends no earlier than that: so
//! what a dead courier held and had not begun is ready again within a lease, however much else waits and whoever claims.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use posthaste_model::Channel;
use posthaste_ops::stop::Stop;
use posthaste_store::{CallError, Store};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Meter;

/// Leases of one call.
const LEASES: u32 = 100;
/// After the server was away, a lease that is over says nothing about its courier.
const NO_BLAME: Duration = Duration::from_secs(15);
/// However often it is called: at most ten times a second.
const REST: Duration = Duration::from_millis(100);
/// When a sweep got no answer, the next one.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether a lease of a partition that is over means that its courier died: not while its server was away, or another one, a
/// moment ago.
#[derive(Default)]
pub(crate) struct Blame {
    /// The run of its server, and how often that was away; `None` before the first look.
    server: Option<Option<(String, u64)>>,
    /// From when on it does.
    from: Option<Instant>,
}

impl Blame {
    fn holds(&mut self, store: &Store, p: u16) -> bool {
        let now = Instant::now();
        let link = store.link_of(p).map(|link| (link.run_id, link.losses));
        // What was lost before the first look counts.
        let known = self.server.get_or_insert_with(|| link.clone().map(|(run_id, _)| (run_id, 0)));
        if *known != link {
            *known = link;
            self.from = Some(now + NO_BLAME);
        }
        self.from.is_none_or(|from| now >= from)
    }
}

#[derive(Clone)]
pub(crate) struct Leases {
    pub(crate) store: Store,
    pub(crate) meter: Arc<Meter>,
}

impl Leases {
    /// Watches the leases of a channel until stopped. `kicks`: a partition each, called when a lease may be over.
    pub(crate) async fn run(self, channel: Channel, lease: Duration, kicks: Arc<[Notify]>, stop: Stop) {
        let partitions = (0..self.store.partitions()).zip(kicks.iter());
        join_all(partitions.map(|(p, kick)| self.watch(p, &channel, lease, kick, &stop))).await;
    }

    async fn watch(&self, p: u16, channel: &Channel, lease: Duration, kick: &Notify, stop: &Stop) {
        let mut blame = Blame::default();
        loop {
            let looked = Instant::now();
            let wait = match self.sweep(p, channel, &mut blame).await {
                Ok(next) => next.map_or(lease, |next| next.min(lease)),
                Err(CallError::Stop(_)) => return,
                Err(error) => {
                    if matches!(error, CallError::Fault(_)) {
                        tracing::error!(%channel, partition = p, %error, "leases that are over can't be taken back; tried again");
                        self.meter.alarm("housekeeping");
                    } else {
                        tracing::debug!(%channel, partition = p, %error, "a sweep got no answer; it comes again");
                    }
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep_until(looked + wait.max(REST)) => {}
                () = async {
                    tokio::time::sleep_until(looked + REST).await;
                    kick.notified().await;
                } => {}
            }
        }
    }

    /// Takes back what is over. Answers in how long the next lease ends, a moment after the server's millisecond.
    pub(crate) async fn sweep(
        &self,
        p: u16,
        channel: &Channel,
        blame: &mut Blame,
    ) -> Result<Option<Duration>, CallError> {
        loop {
            let answer = self.store.sweep(p, channel, LEASES, blame.holds(&self.store, p)).await?;
            let swept = answer.reply;
            self.meter.add("posthaste_swept_parcels_total", swept.parcels);
            self.meter.add("posthaste_unresolved_rows_total", swept.unresolved);
            self.meter.add("posthaste_poison_parcels_total", swept.poison);
            self.meter.add("posthaste_lost_members_total", swept.lost);
            if swept.poison > 0 {
                tracing::error!(%channel, parcels = swept.poison, "three couriers died with a message and nothing beside it: it is given up as poison");
            }
            match swept.next {
                Some(next) if next <= answer.now => {
                    // Nothing of what is over could be moved: not at once again.
                    if swept.parcels + swept.lost == 0 {
                        return Ok(Some(AGAIN));
                    }
                }
                Some(next) => return Ok(Some(next.since(answer.now) + Duration::from_millis(1))),
                None => return Ok(None),
            }
        }
    }
}
