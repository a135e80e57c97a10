//! The sweeper: in every courier, for all channels, in bounded steps that are harmless when repeated. It takes back leases
//! that are over, removes what was staged in vain and what is old, ends what nobody will come for, and puts back what fell
//! out of an index.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, Lane, Suffix};
use posthaste_ops::stop::Stop;
use posthaste_store::{Audited, CallError, Index, Retired, Store, Unstaged};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Meter;
use crate::settings::Settings;

/// Leases of one sweep.
const LEASES: u32 = 100;
/// Members looked at in one step of a walk.
const STEP: u32 = 100;
/// Orders of one patrol.
const PATROL: u32 = 500;
/// Steps of one round at most, so that a big heap does not keep the server busy.
const STEPS: usize = 20;
/// After the server was away, a lease that is over says nothing about its courier.
const NO_BLAME: Duration = Duration::from_secs(15);

pub(crate) struct Sweeper {
    store: Store,
    channel: Channel,
    settings: Settings,
    meter: Arc<Meter>,
    kick: Arc<Notify>,
    started: Instant,
    /// Of each partition, its server's run and how often that was away, and from when on a lease that is over means a crash.
    servers: HashMap<u16, (Option<(String, u64)>, Instant)>,
    /// Where the walks of the indexes stand: partition, channel, index, rank.
    walk: Walk,
    round: u64,
    /// Where the audit of each partition stands in its list of orders.
    audited: Vec<u64>,
}

#[derive(Default)]
struct Walk {
    at: usize,
    rank: u64,
}

impl Sweeper {
    pub(crate) fn new(
        store: Store,
        channel: Channel,
        settings: Settings,
        meter: Arc<Meter>,
        kick: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            channel,
            settings,
            meter,
            kick,
            started: Instant::now(),
            servers: HashMap::new(),
            walk: Walk::default(),
            round: 0,
            audited: Vec::new(),
        }
    }

    /// Sweeps until stopped: when called, and every so often.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut next = Instant::now() + self.settings.sweep_every;
        loop {
            let kicked = tokio::select! {
                () = stop.soft.cancelled() => return,
                () = self.kick.notified() => true,
                () = tokio::time::sleep_until(next) => false,
            };
            let outcome = if kicked { self.sweep_own().await } else { self.round().await };
            if !kicked {
                next = Instant::now() + self.settings.sweep_every;
            }
            match outcome {
                Ok(()) => {}
                Err(CallError::Stop(_)) => return,
                Err(error) => tracing::debug!(%error, "a sweep got no answer; it comes again"),
            }
            // However often it is called: at most ten times a second.
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    /// Whether a lease of a partition that is over means that its courier died: not while its server was away, or another
    /// one, a moment ago.
    fn blame(&mut self, p: u16) -> bool {
        let now = Instant::now();
        let link = self.store.link_of(p).map(|link| (link.run_id, link.losses));
        let known = self.servers.entry(p).or_insert_with(|| {
            // What was lost before the first look counts.
            (link.clone().map(|(run_id, _)| (run_id, 0)), self.started)
        });
        if known.0 != link {
            *known = (link, now + NO_BLAME);
        }
        now >= known.1
    }

    /// Partitions that can be asked: the others keep them from nothing.
    fn partitions(&self) -> impl Iterator<Item = u16> + use<> {
        let store = self.store.clone();
        (0..store.partitions()).filter(move |p| store.can_ask(*p))
    }

    /// What failed in one partition keeps the others from nothing, but a stop.
    fn pass(&self, p: u16, result: Result<(), CallError>) -> Result<(), CallError> {
        match result {
            Err(error) if !matches!(error, CallError::Stop(_)) => {
                tracing::debug!(p, %error, "a partition got no answer; it comes again");
                Ok(())
            }
            other => other,
        }
    }

    async fn sweep_own(&mut self) -> Result<(), CallError> {
        let channel = self.channel.clone();
        for p in self.partitions() {
            let swept = self.sweep(p, &channel).await;
            self.pass(p, swept)?;
        }
        Ok(())
    }

    async fn sweep(&mut self, p: u16, channel: &Channel) -> Result<(), CallError> {
        for _ in 0..STEPS {
            let blame = self.blame(p);
            let answer = self.store.sweep(p, channel, LEASES, blame).await?;
            let swept = answer.reply;
            self.meter.add("posthaste_swept_parcels_total", swept.parcels);
            self.meter.add("posthaste_unresolved_rows_total", swept.unresolved);
            self.meter.add("posthaste_poison_parcels_total", swept.poison);
            self.meter.add("posthaste_lost_members_total", swept.lost);
            if swept.poison > 0 {
                tracing::error!(%channel, parcels = swept.poison, "parcels ended three couriers and are given up");
            }
            if swept.next.is_none_or(|next| next > answer.now) {
                break;
            }
        }
        Ok(())
    }

    /// One round of everything, for every partition.
    async fn round(&mut self) -> Result<(), CallError> {
        self.round += 1;
        self.sweep_own().await?;
        // The rest is for all channels and needs no hurry: a piece of it each time.
        match self.round % 3 {
            0 => self.other_channels().await,
            1 => self.walk_indexes().await,
            _ => self.tidy().await,
        }
    }

    async fn other_channels(&mut self) -> Result<(), CallError> {
        for p in self.partitions() {
            let swept = self.other_channels_of(p).await;
            self.pass(p, swept)?;
        }
        Ok(())
    }

    async fn other_channels_of(&mut self, p: u16) -> Result<(), CallError> {
        for (channel, _) in self.store.channels(p).await? {
            if channel != self.channel {
                self.sweep(p, &channel).await?;
            }
        }
        Ok(())
    }

    /// Walks one index after the other, of every channel there is, also those without a courier.
    async fn walk_indexes(&mut self) -> Result<(), CallError> {
        let mut stops = Vec::new();
        for p in self.partitions() {
            let found = match self.store.channels(p).await {
                Ok(found) => found,
                Err(error) => {
                    self.pass(p, Err(error))?;
                    continue;
                }
            };
            for (channel, _) in found {
                for index in [Index::Ready(Lane::Urgent), Index::Ready(Lane::Bulk), Index::Unresolved] {
                    stops.push((p, channel.clone(), index));
                }
            }
        }
        for _ in 0..STEPS {
            let Some((p, channel, index)) = stops.get(self.walk.at) else {
                self.walk = Walk::default();
                return Ok(());
            };
            let closed = match self.store.close(*p, channel, *index, self.walk.rank, STEP).await {
                Ok(answer) => answer.reply,
                Err(error) => {
                    self.pass(*p, Err(error))?;
                    self.walk = Walk { at: self.walk.at + 1, rank: 0 };
                    continue;
                }
            };
            self.meter.add("posthaste_lost_members_total", closed.lost);
            match closed.next {
                Some(rank) => self.walk.rank = rank,
                None => self.walk = Walk { at: self.walk.at + 1, rank: 0 },
            }
        }
        Ok(())
    }

    /// Removes what was staged in vain and what is past its retention; audits some orders.
    async fn tidy(&mut self) -> Result<(), CallError> {
        for p in self.partitions() {
            let tidied = self.tidy_partition(p).await;
            self.pass(p, tidied)?;
        }
        Ok(())
    }

    async fn tidy_partition(&mut self, p: u16) -> Result<(), CallError> {
        for _ in 0..STEPS {
            match self.store.unstage(p, None).await?.reply {
                Unstaged::Done(None) => break,
                Unstaged::Done(Some(_)) => {
                    tracing::info!("an order that stopped streaming in was removed")
                }
                Unstaged::More(_) => {}
            }
        }
        for day in self.store.days_to_retire(p, self.settings.retention_days).await? {
            for _ in 0..STEPS {
                match self.store.retire(p, day, self.settings.retention_days).await?.reply {
                    Retired::More(n) => self.meter.add("posthaste_retired_orders_total", n),
                    Retired::Done(n) => {
                        self.meter.add("posthaste_retired_orders_total", n);
                        break;
                    }
                    Retired::Early => break,
                }
            }
        }
        self.audit(p).await
    }

    /// Looks at orders whose record and indexes may disagree, going round the list of all.
    async fn audit(&mut self, p: u16) -> Result<(), CallError> {
        self.audited.resize(usize::from(self.store.partitions()), 0);
        let from = self.audited[usize::from(p)];
        let patrolled = self.store.patrol(p, from, PATROL).await?.reply;
        for suffix in &patrolled.named {
            let Some(order) = self.store.load_order(p, suffix).await? else { continue };
            for (channel, _) in &order.head.channels {
                self.audit_channel(p, suffix, channel).await?;
            }
        }
        self.audited[usize::from(p)] = patrolled.next.unwrap_or(0);
        Ok(())
    }

    async fn audit_channel(&self, p: u16, suffix: &Suffix, channel: &Channel) -> Result<(), CallError> {
        let mut from = 0;
        for _ in 0..STEPS {
            let Audited::Ok { next, mended } = self.store.audit(p, channel, suffix, from).await?.reply else {
                break;
            };
            if mended > 0 {
                tracing::error!(%channel, mended, "parcels had fallen out of their index and were put back");
                self.meter.add("posthaste_mended_parcels_total", u64::from(mended));
                self.meter.alarm("mended");
            }
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(())
    }
}
