//! Takes back leases that are over, of every partition apart: one whose server is away delays no other. It looks when the
//! first lease it knows of ends, and as often as a lease lasts, since what is leased after a look ends no earlier than that: so
//! what a dead courier held and had not begun is ready again within a lease, however much else waits and whoever claims.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use posthaste_model::Channel;
use posthaste_ops::stop::Stop;
use posthaste_store::{CallError, Link, Store};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Meter;

/// Leases of one call.
const LEASES: u32 = 100;
/// How long a lease that is over says nothing about its courier, once holders had the time to come back after their server
/// was away.
const NO_BLAME: Duration = Duration::from_secs(15);
/// However often it is called: at most ten times a second.
const REST: Duration = Duration::from_millis(100);
/// When a sweep got no answer, the next one.
const AGAIN: Duration = Duration::from_secs(1);

/// What a lease that is over means in one partition. While its server was away nobody could prolong anything, so after that
/// every holder has as long as a lease lasts to come back: what it began and has not sent yet is otherwise reported as unknown.
/// A while longer, a lease that is over does not mean that its courier died.
#[derive(Default)]
pub(crate) struct Outages {
    /// The connection at the last look.
    seen: Option<Link>,
    /// Until when holders may come back.
    spared_until: Option<Instant>,
    /// From when on a lease that is over means a crash.
    blamed_from: Option<Instant>,
}

/// What to do with leases that are over.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// Leave them to their holders until then.
    Spare(Instant),
    /// Take them back; whether a courier died of what it held.
    Take { blame: bool },
}

impl Outages {
    /// A server that goes away again meanwhile gives no more time, or nothing would be taken back where connections break all
    /// the time.
    fn look(&mut self, link: &Link, lease: Duration, now: Instant) -> Over {
        // What was lost before the first look counts.
        let was_away = match &self.seen {
            Some(seen) => !seen.is_same_connection(link),
            None => link.losses > 0,
        };
        if was_away {
            self.spared_until.get_or_insert(now + lease);
            self.blamed_from = Some(now + lease + NO_BLAME);
        }
        self.seen = Some(link.clone());
        if let Some(until) = self.spared_until {
            if now < until {
                return Over::Spare(until);
            }
            self.spared_until = None;
        }
        Over::Take { blame: self.blamed_from.is_none_or(|from| now >= from) }
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
    /// Watches the leases of a channel until stopped. `kicks`: a partition each, called when a lease may be over.
    pub(crate) async fn run(self, channel: Channel, kicks: Arc<[Notify]>, stop: Stop) {
        let partitions = (0..self.store.partitions()).zip(kicks.iter());
        join_all(partitions.map(|(p, kick)| self.watch(p, &channel, kick, &stop))).await;
    }

    async fn watch(&self, p: u16, channel: &Channel, kick: &Notify, stop: &Stop) {
        let mut outages = Outages::default();
        loop {
            let looked = Instant::now();
            let wait = match self.sweep(p, channel, &mut outages).await {
                Ok(next) => next.map_or(self.lease, |next| next.min(self.lease)),
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

    /// Takes back what is over, unless its holders have time yet to come back. Answers in how long the next lease ends, a moment after the server's millisecond.
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
                Over::Take { blame } => blame,
            };
            let answer = self.store.sweep(p, channel, LEASES, blame, Some(&link)).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn link(run: &str, losses: u64) -> Link {
        Link { up: true, since: Instant::now(), run_id: run.to_owned(), losses, restarts: 0 }
    }

    #[test]
    fn a_server_that_was_never_away_excuses_nobody() {
        let mut outages = Outages::default();
        let now = Instant::now();
        for at in 0..100 {
            let over = outages.look(&link("a", 0), LEASE, now + at * SECOND);
            assert_eq!(over, Over::Take { blame: true }, "after {at} s");
        }
    }

    #[test]
    fn holders_have_a_lease_to_come_back_and_are_not_blamed_for_a_while() {
        for after in [link("a", 1), link("b", 0)] {
            let mut outages = Outages::default();
            let now = Instant::now();
            assert_eq!(outages.look(&link("a", 0), LEASE, now), Over::Take { blame: true });
            for (at, wanted) in [
                (1, Over::Spare(now + 11 * SECOND)),
                (10, Over::Spare(now + 11 * SECOND)),
                (11, Over::Take { blame: false }),
                (25, Over::Take { blame: false }),
                (26, Over::Take { blame: true }),
            ] {
                assert_eq!(outages.look(&after, LEASE, now + at * SECOND), wanted, "{after:?}, {at} s");
            }
        }
    }

    #[test]
    fn what_was_lost_before_the_first_look_counts() {
        let mut outages = Outages::default();
        let now = Instant::now();
        assert_eq!(outages.look(&link("a", 2), LEASE, now), Over::Spare(now + LEASE));
    }

    #[test]
    fn a_link_that_breaks_all_the_time_keeps_nothing_from_being_taken_back() {
        let mut outages = Outages::default();
        let now = Instant::now();
        let looks = (0..33).map(|at| outages.look(&link("a", at.into()), LEASE, now + at * SECOND));
        let taken = looks.filter(|over| *over == Over::Take { blame: false }).count();
        assert_eq!(taken, 2, "once in a lease and a second");
    }
}
