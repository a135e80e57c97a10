//! The sweeper: in every courier, for all channels, in bounded steps that are harmless when repeated. It takes back leases
//! that are over where no courier does, removes what was staged in vain and what is old, ends what nobody will come for, and
//! puts back what fell out of an index. One step is one short script, so the server serves others between two of them; what
//! has much to do goes on step by step for a while, and the other duties get their turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, Lane, Suffix, UnixMs};
use posthaste_ops::stop::Stop;
use posthaste_store::{Audited, CallError, Index, Retired, Store, Unstaged};
use tokio::time::Instant;

use crate::leases::{Leases, Outages};
use crate::metrics::Meter;
use crate::settings::Settings;

/// Members looked at in one step of a walk.
const STEP: u32 = 200;
/// Orders of one patrol.
const PATROL: u32 = 500;
/// Steps of one round at most that only look, so that a big heap does not keep the server busy.
const STEPS: usize = 20;
/// What a step costs that looked at as many members as it may, compared with one at the end of its index.
const FULL_STEP: usize = 10;
/// How long steps that end or remove something follow each other before other duties have their turn.
const BUSY: Duration = Duration::from_secs(5);
/// Orders named by a patrol and not audited yet, at most.
const NAMED: usize = 1_000;
/// Steps of an audit in one round at most: 100 parcels each.
const AUDITS: usize = 100;
/// Parked entries looked at in one round, and named in the log.
const PARKED_PAGE: usize = 500;
const PARKED_PAGES: usize = 10;
const PARKED_LINES: usize = 20;

pub(crate) struct Sweeper {
    store: Store,
    channel: Channel,
    settings: Settings,
    meter: Arc<Meter>,
    leases: Leases,
    /// Of each partition, what a lease that is over means.
    outages: HashMap<u16, Outages>,
    /// Where the walks of the indexes stand: partition, channel, index, rank.
    walk: Walk,
    round: u64,
    /// There was more to do than this round did.
    more: bool,
    /// Where the audit of each partition stands.
    audits: Vec<Audit>,
    /// Of each partition, what was parked up to this moment of its server is told.
    parked_told: HashMap<u16, UnixMs>,
}

/// Where the audit of a partition stands: in its list of orders, and among those named to be looked at. An order of many
/// parcels is gone through over as many rounds as it takes.
#[derive(Default)]
struct Audit {
    position: u64,
    /// Order, channel, and the parcel to go on from.
    named: VecDeque<(Suffix, Channel, u32)>,
}

#[derive(Default)]
struct Walk {
    at: usize,
    rank: u64,
}

impl Sweeper {
    pub(crate) fn new(store: Store, channel: Channel, settings: Settings, meter: Arc<Meter>) -> Self {
        let leases = Leases { store: store.clone(), meter: Arc::clone(&meter), lease: settings.lease };
        Self {
            store,
            channel,
            settings,
            meter,
            leases,
            outages: HashMap::new(),
            walk: Walk::default(),
            round: 0,
            more: false,
            audits: Vec::new(),
            parked_told: HashMap::new(),
        }
    }

    /// Goes its rounds until stopped: every so often, and at once while there is more to do than one round does.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut next = Instant::now() + self.settings.sweep_every;
        loop {
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep_until(next) => {}
            }
            let outcome = self.round().await;
            next = Instant::now() + self.settings.sweep_every;
            match outcome {
                Ok(false) => {}
                Ok(true) => next = Instant::now(),
                Err(CallError::Stop(_)) => return,
                Err(error) => {
                    tracing::debug!(%error, "a round of housekeeping got no answer; it comes again")
                }
            }
        }
    }

    /// Partitions that can be asked: the others keep them from nothing.
    fn partitions(&self) -> impl Iterator<Item = u16> + use<> {
        let store = self.store.clone();
        (0..store.partitions()).filter(move |p| store.can_ask(*p))
    }

    /// One step's trouble ends neither the others of its partition nor other partitions, unless no answer comes at all: what
    /// could not be used is told, and the rest goes on.
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

    /// What failed in one partition keeps the others from nothing, unless no call is answered any more.
    fn pass(&self, p: u16, step: &'static str, result: Result<(), CallError>) -> Result<(), CallError> {
        match self.apart(p, step, result) {
            Err(error) if !matches!(error, CallError::Stop(_)) => {
                tracing::debug!(partition = p, step, %error, "housekeeping of a partition got no answer; it comes again");
                Ok(())
            }
            other => other,
        }
    }

    /// One round of everything, for every partition. True when there was more to do than one round does.
    async fn round(&mut self) -> Result<bool, CallError> {
        self.round += 1;
        self.more = false;
        // It is for all channels and needs no hurry: a piece of it each time.
        match self.round % 3 {
            0 => self.other_channels().await?,
            1 => self.walk_indexes().await?,
            _ => self.tidy().await?,
        }
        Ok(self.more)
    }

    async fn other_channels(&mut self) -> Result<(), CallError> {
        for p in self.partitions() {
            let swept = self.other_channels_of(p).await;
            self.pass(p, "sweep", swept)?;
        }
        Ok(())
    }

    async fn other_channels_of(&mut self, p: u16) -> Result<(), CallError> {
        for (channel, _) in self.store.channels(p).await? {
            if channel != self.channel {
                let outages = self.outages.entry(p).or_default();
                let swept = self.leases.sweep(p, &channel, outages).await.map(drop);
                self.apart(p, "sweep", swept)?;
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
                    self.pass(p, "walk", Err(error))?;
                    continue;
                }
            };
            for (channel, _) in found {
                for index in [Index::Ready(Lane::Urgent), Index::Ready(Lane::Bulk), Index::Unresolved] {
                    stops.push((p, channel.clone(), index));
                }
            }
        }
        let (mut left, busy_until) = (STEPS * FULL_STEP, Instant::now() + BUSY);
        while left > 0 {
            let Some((p, channel, index)) = stops.get(self.walk.at) else {
                self.walk = Walk::default();
                return Ok(());
            };
            let closed = match self.store.close(*p, channel, *index, self.walk.rank, STEP).await {
                Ok(answer) => answer.reply,
                Err(error) => {
                    // One that brought no answer is not asked for the rest of its indexes.
                    let rest = stops.iter().skip(self.walk.at).take_while(|(other, ..)| other == p).count();
                    let skipped = if matches!(error, CallError::Fault(_)) { 1 } else { rest };
                    self.pass(*p, "close", Err(error))?;
                    self.walk = Walk { at: self.walk.at + skipped, rank: 0 };
                    continue;
                }
            };
            self.meter.add("posthaste_lost_members_total", closed.lost);
            // An index that is at its end costs little: among many partitions most are short.
            let cost = if closed.next.is_some() { FULL_STEP } else { 1 };
            match closed.next {
                Some(rank) => self.walk.rank = rank,
                None => self.walk = Walk { at: self.walk.at + 1, rank: 0 },
            }
            // Where there is something to end, there is more of it; the rest of a long index is only looked at by and by.
            let ended = closed.closed + closed.lost > 0;
            if ended && Instant::now() < busy_until {
                continue;
            }
            self.more |= ended;
            left = left.saturating_sub(cost);
        }
        Ok(())
    }

    /// Removes what was staged in vain and what is past its retention; audits some orders; tells what is parked.
    async fn tidy(&mut self) -> Result<(), CallError> {
        let mut lines = PARKED_LINES;
        for p in self.partitions() {
            let tidied = self.tidy_partition(p, &mut lines).await;
            self.pass(p, "tidy", tidied)?;
        }
        Ok(())
    }

    async fn tidy_partition(&mut self, p: u16, lines: &mut usize) -> Result<(), CallError> {
        let unstaged = self.unstage(p).await;
        self.apart(p, "unstage", unstaged)?;
        let retired = self.retire(p).await;
        self.apart(p, "retire", retired)?;
        let audited = self.audit(p).await;
        self.apart(p, "audit", audited)?;
        let counted = self.store.count_parked(p).await;
        self.apart(p, "parked", counted.map(|entries| self.meter.parked(p, entries)))?;
        let told = self.tell_parked(p, lines).await;
        self.apart(p, "parked", told)
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

    async fn retire(&mut self, p: u16) -> Result<(), CallError> {
        for day in self.store.days_to_retire(p, self.settings.retention_days).await? {
            let busy_until = Instant::now() + BUSY;
            loop {
                match self.store.retire(p, day, self.settings.retention_days).await?.reply {
                    Retired::More(n) => {
                        self.meter.add("posthaste_retired_orders_total", n);
                        if Instant::now() >= busy_until {
                            self.more = true;
                            break;
                        }
                    }
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

    /// Names in the log what was parked in a partition since it looked last, each once; at its start what there is.
    async fn tell_parked(&mut self, p: u16, lines: &mut usize) -> Result<(), CallError> {
        let since = self.parked_told.get(&p).copied().unwrap_or(UnixMs(0));
        let (mut cursor, mut latest) = (None, since);
        for _ in 0..PARKED_PAGES {
            let page = self.store.list_parked_of(p, cursor, PARKED_PAGE).await?;
            for entry in page.entries.iter().filter(|entry| entry.since > since) {
                latest = latest.max(entry.since);
                self.meter.add("posthaste_parked_total", 1);
                if *lines > 0 {
                    *lines -= 1;
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
        self.parked_told.insert(p, latest);
        Ok(())
    }

    /// Looks at orders whose record and indexes may disagree, going round the list of all. What is named is gone through to its
    /// end, over as many rounds as it takes, before others are looked for.
    async fn audit(&mut self, p: u16) -> Result<(), CallError> {
        self.audits.resize_with(usize::from(self.store.partitions()), Audit::default);
        let mut audit = std::mem::take(&mut self.audits[usize::from(p)]);
        let result = self.audit_some(p, &mut audit).await;
        self.audits[usize::from(p)] = audit;
        result
    }

    async fn audit_some(&self, p: u16, audit: &mut Audit) -> Result<(), CallError> {
        for _ in 0..STEPS {
            if audit.named.len() >= NAMED {
                break;
            }
            let patrolled = self.store.patrol(p, audit.position, PATROL).await?.reply;
            for suffix in &patrolled.named {
                match self.store.order_head(suffix).await {
                    Ok(None) => {}
                    Ok(Some(head)) => {
                        let channels = head.channels.into_iter().filter(|(_, rows)| *rows > 0);
                        audit.named.extend(channels.map(|(channel, _)| (suffix.clone(), channel, 0)));
                    }
                    Err(error) => self.apart(p, "audit", Err(error))?,
                }
            }
            audit.position = patrolled.next.unwrap_or(0);
            if audit.position == 0 {
                break;
            }
        }
        for _ in 0..AUDITS {
            let Some((suffix, channel, from)) = audit.named.pop_front() else { break };
            match self.audit_step(p, &suffix, &channel, from).await {
                Ok(None) => {}
                Ok(Some(next)) => audit.named.push_front((suffix, channel, next)),
                Err(error) => self.apart(p, "audit", Err(error))?,
            }
        }
        Ok(())
    }

    async fn audit_step(
        &self,
        p: u16,
        suffix: &Suffix,
        channel: &Channel,
        from: u32,
    ) -> Result<Option<u32>, CallError> {
        let Audited::Ok { next, mended } = self.store.audit(p, channel, suffix, from).await?.reply else {
            return Ok(None);
        };
        if mended > 0 {
            tracing::error!(%channel, mended, "parcels had fallen out of their index and were put back");
            self.meter.add("posthaste_mended_parcels_total", u64::from(mended));
            self.meter.alarm("mended");
        }
        Ok(next)
    }
}
