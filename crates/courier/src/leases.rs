//! Reclaims expired leases, each partition separately: one whose server is down does not delay the others. It runs
//! when the earliest known lease ends, and at least once per lease time, since a parcel leased after a run expires no
//! earlier than that. So what a dead courier held and had not begun is ready again within one lease time, whatever
//! the backlog.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use posthaste_model::Channel;
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{CallError, Store};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Meter;

/// Leases per call.
const LEASES: u32 = 100;
/// For this long after the server was down, an expired lease does not mean that its courier died.
const NO_BLAME: Duration = Duration::from_secs(15);
/// Minimum time between two runs: at most ten per second.
const REST: Duration = Duration::from_millis(100);
/// How soon to run again after a call failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether an expired lease of a partition means that its courier died. It does not if the partition's server was
/// recently down or replaced by another one.
#[derive(Default)]
pub(crate) struct Blame {
    /// The run id of its server, and how often the connection to it was lost; `None` before the first run.
    server: Option<Option<(String, u64)>>,
    /// From when on it does again.
    from: Option<Instant>,
}

impl Blame {
    fn holds(&mut self, store: &Store, p: u16) -> bool {
        let now = Instant::now();
        let link = store.link_of(p).map(|link| (link.run_id, link.losses));
        // Connections lost before the first run count too.
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
    /// Reclaims the expired leases of a channel until stopped. `kicks`: one per partition, notified when a lease may
    /// be over.
    pub(crate) async fn run(self, channel: Channel, lease: Duration, kicks: Arc<[Notify]>, stop: Shutdown) {
        let partitions = (0..self.store.partitions()).zip(kicks.iter());
        join_all(partitions.map(|(p, kick)| self.watch(p, &channel, lease, kick, &stop))).await;
    }

    async fn watch(&self, p: u16, channel: &Channel, lease: Duration, kick: &Notify, stop: &Shutdown) {
        let mut blame = Blame::default();
        loop {
            let looked = Instant::now();
            let wait = match self.sweep(p, channel, &mut blame).await {
                Ok(next) => next.map_or(lease, |next| next.min(lease)),
                Err(CallError::Fatal(_)) => return,
                Err(error) => {
                    if matches!(error, CallError::InvalidReply(_)) {
                        tracing::error!(
                            event = "lease.reclaim_failed",
                            %channel,
                            partition = p,
                            %error,
                            "cannot reclaim expired leases; will retry"
                        );
                        self.meter.alarm("housekeeping");
                    } else {
                        tracing::debug!(%channel, partition = p, %error, "reclaiming expired leases failed; will retry");
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

    /// Reclaims expired leases. Returns the time until the next lease ends, plus one millisecond.
    pub(crate) async fn sweep(
        &self,
        p: u16,
        channel: &Channel,
        blame: &mut Blame,
    ) -> Result<Option<Duration>, CallError> {
        loop {
            let answer = self.store.reclaim_leases(p, channel, LEASES, blame.holds(&self.store, p)).await?;
            let swept = answer.reply;
            self.meter.add("posthaste_swept_parcels_total", swept.parcels);
            self.meter.add("posthaste_unresolved_deliveries_total", swept.unresolved);
            self.meter.add("posthaste_poison_parcels_total", swept.poison);
            self.meter.add("posthaste_lost_members_total", swept.lost);
            if swept.poison > 0 {
                tracing::error!(
                    event = "delivery.poisoned",
                    %channel,
                    parcels = swept.poison,
                    "three couriers died while sending the same message alone; it is given up as poison"
                );
            }
            match swept.next {
                Some(next) if next <= answer.now => {
                    // None of the expired leases could be reclaimed: do not retry at once.
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
