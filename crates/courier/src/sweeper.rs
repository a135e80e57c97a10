//! The sweeper: in every courier, for all channels, in bounded steps that are harmless when repeated. It takes back leases
//! that are over, removes what was staged in vain and what is old, ends what nobody will come for, and puts back what fell
//! out of an index.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, Lane, Suffix, UnixMs};
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
/// Parked entries looked at in one round, and named in the log.
const PARKED_PAGE: usize = 500;
const PARKED_PAGES: usize = 10;
const PARKED_LINES: usize = 20;
/// After the server was away, a lease that is over says nothing about its courier.
const NO_BLAME: Duration = Duration::from_secs(15);

pub(crate) struct Sweeper {
    store: Store,
    channel: Channel,
    settings: Settings,
    meter: Arc<Meter>,
    kick: Arc<Notify>,
    /// How often the server was away, and when it came back last.
    downs: u64,
    blame_from: Instant,
    /// Where the walks of the indexes stand: partition, channel, index, rank.
    walk: Walk,
    round: u64,
    /// Where the audit of each partition stands in its list of orders.
    audited: Vec<u64>,
    /// What was parked up to this moment is told.
    parked_told: UnixMs,
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
        let blame_from = Instant::now();
        Self {
            store,
            channel,
            settings,
            meter,
            kick,
            downs: 0,
            blame_from,
            walk: Walk::default(),
            round: 0,
            audited: Vec::new(),
            parked_told: UnixMs(0),
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
                Err(error) => {
                    tracing::debug!(%error, "a round of housekeeping got no answer; it comes again")
                }
            }
            // However often it is called: at most ten times a second.
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    fn blame(&mut self) -> bool {
        let link = self.store.connection().borrow().clone();
        if link.losses != self.downs {
            self.downs = link.losses;
            self.blame_from = Instant::now() + NO_BLAME;
        }
        Instant::now() >= self.blame_from
    }

    /// One step's trouble ends neither the others of its partition nor other partitions, unless no call is answered any
    /// more: what could not be used is told, and the rest goes on.
    fn apart(&self, p: u16, step: &'static str, result: Result<(), CallError>) -> Result<(), CallError> {
        match result {
            Err(CallError::Fault(fault)) => {
                tracing::error!(partition = p, step, error = %fault, "a step of housekeeping failed; the others go on");
                self.meter.alarm("housekeeping");
                Ok(())
            }
            other => other,
        }
    }

    async fn sweep_own(&mut self) -> Result<(), CallError> {
        let channel = self.channel.clone();
        for p in 0..self.store.partitions() {
            let swept = self.sweep(p, &channel).await;
            self.apart(p, "sweep", swept)?;
        }
        Ok(())
    }

    async fn sweep(&mut self, p: u16, channel: &Channel) -> Result<(), CallError> {
        for _ in 0..STEPS {
            let blame = self.blame();
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
        for p in 0..self.store.partitions() {
            for (channel, _) in self.store.channels(p).await? {
                if channel != self.channel {
                    let swept = self.sweep(p, &channel).await;
                    self.apart(p, "sweep", swept)?;
                }
            }
        }
        Ok(())
    }

    /// Walks one index after the other, of every channel there is, also those without a courier.
    async fn walk_indexes(&mut self) -> Result<(), CallError> {
        let mut stops = Vec::new();
        for p in 0..self.store.partitions() {
            let channels: Vec<Channel> = self.store.channels(p).await?.into_iter().map(|(c, _)| c).collect();
            for channel in channels {
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
                    self.apart(*p, "close", Err(error))?;
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

    /// Removes what was staged in vain and what is past its retention; audits some orders; tells what is parked.
    async fn tidy(&mut self) -> Result<(), CallError> {
        for p in 0..self.store.partitions() {
            let unstaged = self.unstage(p).await;
            self.apart(p, "unstage", unstaged)?;
            let retired = self.retire(p).await;
            self.apart(p, "retire", retired)?;
            let audited = self.audit(p).await;
            self.apart(p, "audit", audited)?;
            let counted = self.store.count_parked(p).await;
            self.apart(p, "parked", counted.map(|entries| self.meter.parked(p, entries)))?;
        }
        let told = self.tell_parked().await;
        self.apart(0, "parked", told)
    }

    async fn unstage(&self, p: u16) -> Result<(), CallError> {
        for _ in 0..STEPS {
            match self.store.unstage(p, None).await?.reply {
                Unstaged::Done(None) => break,
                Unstaged::Done(Some(_)) => tracing::info!("an order that stopped streaming in was removed"),
                Unstaged::More(_) => {}
            }
        }
        Ok(())
    }

    async fn retire(&self, p: u16) -> Result<(), CallError> {
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
        Ok(())
    }

    /// Names in the log what was parked since it looked last, each once; at its start what there is.
    async fn tell_parked(&mut self) -> Result<(), CallError> {
        let (since, mut cursor, mut latest, mut left) =
            (self.parked_told, None, self.parked_told, PARKED_LINES);
        for _ in 0..PARKED_PAGES {
            let page = self.store.list_parked(cursor, PARKED_PAGE).await?;
            for entry in page.entries.iter().filter(|entry| entry.since > since) {
                latest = latest.max(entry.since);
                self.meter.add("posthaste_parked_total", 1);
                if left > 0 {
                    left -= 1;
                    let (order, why) = (entry.name.suffix().order_id(), &entry.why);
                    tracing::error!(
                        order,
                        why,
                        "a record can't be read and is parked: see `posthaste parked show {order}`"
                    );
                    self.meter.alarm("parked");
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        self.parked_told = latest;
        Ok(())
    }

    /// Looks at orders whose record and indexes may disagree, going round the list of all.
    async fn audit(&mut self, p: u16) -> Result<(), CallError> {
        self.audited.resize(usize::from(self.store.partitions()), 0);
        let from = self.audited[usize::from(p)];
        let patrolled = self.store.patrol(p, from, PATROL).await?.reply;
        for suffix in &patrolled.named {
            let audited = self.audit_order(p, suffix).await;
            self.apart(p, "audit", audited)?;
        }
        self.audited[usize::from(p)] = patrolled.next.unwrap_or(0);
        Ok(())
    }

    async fn audit_order(&self, p: u16, suffix: &Suffix) -> Result<(), CallError> {
        let Some(head) = self.store.order_head(suffix).await? else { return Ok(()) };
        for (channel, _) in head.channels.iter().filter(|(_, rows)| *rows > 0) {
            self.audit_channel(p, suffix, channel).await?;
        }
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
