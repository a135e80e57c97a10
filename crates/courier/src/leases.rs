//! Reclaims expired leases, each partition separately: one whose server is down does not delay the others. It runs
//! when the earliest known lease ends, and at least once per lease time, since a parcel leased after a run expires no
//! earlier than that. So what a dead courier held and had not begun is ready again within one lease time, whatever
//! the backlog.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use posthaste_model::Channel;
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{CallError, Link, Store};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Meter;

/// Leases per call.
const LEASES: u32 = 100;
/// For this long after holders had time to reconnect, an expired lease does not mean that its courier died.
const NO_BLAME: Duration = Duration::from_secs(15);
/// Minimum time between two runs: at most ten per second.
const REST: Duration = Duration::from_millis(100);
/// How soon to run again after a call failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What an expired lease means in one partition. While its server was down nobody could renew anything, so afterwards
/// every holder has one lease time to reconnect; otherwise, deliveries it began but has not sent would be reported as
/// unknown. For a while longer, an expired lease does not mean that its courier died.
#[derive(Default)]
pub(crate) struct Outages {
    /// The connection at the last run.
    seen: Option<Link>,
    /// Until when holders may reconnect.
    spared_until: Option<Instant>,
    /// From when on an expired lease means a crash.
    blamed_from: Option<Instant>,
}

/// What to do with expired leases.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// Leave them to their holders until then.
    Spare(Instant),
    /// Reclaim them; `blame`: each means that its courier crashed.
    Reclaim { blame: bool },
}

impl Outages {
    /// Another loss of the connection does not extend the time: otherwise nothing would ever be reclaimed where connections
    /// keep breaking.
    fn look(&mut self, link: &Link, lease: Duration, now: Instant) -> Over {
        // Connections lost before the first run count too.
        let (was_down, was_lost) = match &self.seen {
            Some(seen) => (!link.is_uninterrupted(seen), link.losses != seen.losses),
            None => (link.losses > 0, link.losses > 0),
        };
        if was_down {
            self.spared_until.get_or_insert(now + lease);
        }
        if was_down || was_lost {
            self.blamed_from = Some(self.spared_until.unwrap_or(now) + NO_BLAME);
        }
        self.seen = Some(link.clone());
        if let Some(until) = self.spared_until {
            if now < until {
                return Over::Spare(until);
            }
            self.spared_until = None;
        }
        Over::Reclaim { blame: self.blamed_from.is_none_or(|from| now >= from) }
    }
}

#[derive(Clone)]
pub(crate) struct Leases {
    pub(crate) store: Store,
    pub(crate) meter: Arc<Meter>,
    /// How long a lease lasts.
    pub(crate) lease: Duration,
}

impl Leases {
    /// Reclaims the expired leases of a channel until stopped. `wakers`: one per partition, notified when a lease may
    /// be over.
    pub(crate) async fn run(self, channel: Channel, wakers: Arc<[Notify]>, stop: Shutdown) {
        let partitions = (0..self.store.partitions()).zip(wakers.iter());
        join_all(partitions.map(|(p, waker)| self.watch(p, &channel, waker, &stop))).await;
    }

    async fn watch(&self, p: u16, channel: &Channel, waker: &Notify, stop: &Shutdown) {
        let mut outages = Outages::default();
        loop {
            let looked = Instant::now();
            let wait = match self.sweep(p, channel, &mut outages).await {
                Ok(next) => next.map_or(self.lease, |next| next.min(self.lease)),
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
                        self.meter.alert("housekeeping_failed");
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
                    waker.notified().await;
                } => {}
            }
        }
    }

    /// Reclaims expired leases, unless their holders may still reconnect. Returns the time until the next lease ends, plus
    /// one millisecond, or until the holders have had their time.
    pub(crate) async fn sweep(
        &self,
        p: u16,
        channel: &Channel,
        outages: &mut Outages,
    ) -> Result<Option<Duration>, CallError> {
        loop {
            let link = self.store.reached(p).await?;
            let now = Instant::now();
            let blame = match outages.look(&link, self.lease, now) {
                Over::Spare(until) => return Ok(Some(until - now)),
                Over::Reclaim { blame } => blame,
            };
            let answer = self.store.reclaim_leases(p, channel, LEASES, blame, Some(&link)).await?;
            let swept = answer.reply;
            self.meter.reclaimed(&swept);
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

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// A link to a run of the server, up since `since`.
    fn link(run: &str, since: Instant, losses: u64) -> Link {
        Link { up: true, since, run_id: run.to_owned(), losses, restarts: 0 }
    }

    #[test]
    fn expired_leases_mean_a_crash_while_the_server_stays_up() {
        let mut outages = Outages::default();
        let now = Instant::now();
        for at in 0..100 {
            let over = outages.look(&link("a", now, 0), LEASE, now + at * SECOND);
            assert_eq!(over, Over::Reclaim { blame: true }, "after {at} s");
        }
    }

    #[test]
    fn holders_have_one_lease_time_to_reconnect_and_are_not_blamed_for_a_while() {
        let now = Instant::now();
        for after in [link("a", now + SECOND, 1), link("b", now, 0)] {
            let mut outages = Outages::default();
            assert_eq!(outages.look(&link("a", now, 0), LEASE, now), Over::Reclaim { blame: true });
            for (at, wanted) in [
                (1, Over::Spare(now + 11 * SECOND)),
                (10, Over::Spare(now + 11 * SECOND)),
                (11, Over::Reclaim { blame: false }),
                (25, Over::Reclaim { blame: false }),
                (26, Over::Reclaim { blame: true }),
            ] {
                assert_eq!(outages.look(&after, LEASE, now + at * SECOND), wanted, "{after:?}, {at} s");
            }
        }
    }

    #[test]
    fn the_loss_of_one_of_several_connections_delays_nothing_and_blames_nobody_for_a_while() {
        let mut outages = Outages::default();
        let now = Instant::now();
        assert_eq!(outages.look(&link("a", now, 0), LEASE, now), Over::Reclaim { blame: true });
        for (at, blame) in [(1, false), (15, false), (16, true)] {
            let over = outages.look(&link("a", now, 1), LEASE, now + at * SECOND);
            assert_eq!(over, Over::Reclaim { blame }, "after {at} s");
        }
    }

    #[test]
    fn connections_lost_before_the_first_run_count() {
        let mut outages = Outages::default();
        let now = Instant::now();
        assert_eq!(outages.look(&link("a", now, 2), LEASE, now), Over::Spare(now + LEASE));
    }

    #[test]
    fn a_connection_that_keeps_breaking_does_not_stop_reclaiming() {
        let mut outages = Outages::default();
        let now = Instant::now();
        let looks = (0..33).map(|at| {
            let now = now + at * SECOND;
            outages.look(&link("a", now, at.into()), LEASE, now)
        });
        let reclaimed = looks.filter(|over| *over == Over::Reclaim { blame: false }).count();
        assert_eq!(reclaimed, 2, "once per lease time and a second");
    }
}
