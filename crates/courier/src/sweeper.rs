//! The sweeper: runs in every courier, for all channels, in bounded steps that are harmless when repeated. It
//! reclaims expired leases on channels without a courier, removes abandoned uploads and orders past their retention,
//! expires parcels that no courier will send, and repairs indexes. Each step is one short script, so the server can
//! serve others in between. A task with much to do runs step by step for a while, then the other tasks get their
//! turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, OrderId, Priority, UnixMs};
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{CallError, Index, PurgedOrders, RepairedIndexes, Store, Unstaged};
use tokio::time::Instant;

use crate::leases::{Leases, Outages};
use crate::metrics::Meter;
use crate::settings::Settings;

/// Members checked in one step of a walk.
const STEP: u32 = 200;
/// Orders per scan.
const ORDERS_A_SCAN: u32 = 500;
/// Maximum steps per round that only read, so that a long index does not keep the server busy.
const STEPS: usize = 20;
/// Cost of a step that checked the maximum number of members, relative to a step at the end of its index.
const FULL_STEP: usize = 10;
/// How long steps that expire or remove something may follow each other before other tasks get their turn.
const BUSY: Duration = Duration::from_secs(5);
/// Maximum number of orders found by scans and not checked yet.
const NAMED: usize = 1_000;
/// Maximum index checks per round, 100 parcels each.
const AUDITS: usize = 100;
/// Parked entries: page size, pages read per partition, and lines logged per round.
const PARKED_PAGE: usize = 500;
const PARKED_PAGES: usize = 10;
const PARKED_LINES: usize = 20;

pub(crate) struct Sweeper {
    store: Store,
    channel: Channel,
    settings: Settings,
    meter: Arc<Meter>,
    leases: Leases,
    /// For each partition: what an expired lease means.
    outages: HashMap<u16, Outages>,
    /// The position of the walk through the indexes.
    walk: Walk,
    round: u64,
    /// This round did not finish all work.
    more: bool,
    /// The progress of the index check in each partition.
    audits: Vec<Audit>,
    /// For each partition: records parked up to this server time have been logged.
    parked_reported: HashMap<u16, UnixMs>,
}

/// The progress of the index check in a partition: the position in its list of orders, and the orders found that must
/// be checked. An order of many parcels is checked over several rounds.
#[derive(Default)]
struct Audit {
    position: u64,
    /// Order, channel, and the parcel to continue from.
    named: VecDeque<(OrderId, Channel, u32)>,
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
            parked_reported: HashMap::new(),
        }
    }

    /// Runs rounds until stopped: every `sweep_every`, and at once while work is left over.
    pub(crate) async fn run(mut self, stop: Shutdown) {
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
                Err(CallError::Fatal(_)) => return,
                Err(error) => {
                    tracing::debug!(%error, "housekeeping failed; will retry")
                }
            }
        }
    }

    /// Reachable partitions; the others do not delay them.
    fn partitions(&self) -> impl Iterator<Item = u16> + use<> {
        let store = self.store.clone();
        (0..store.partitions()).filter(move |p| store.can_ask(*p))
    }

    /// An invalid reply in one step stops neither the other steps of the partition nor other partitions: it is
    /// logged, and the rest goes on. Other errors are returned.
    fn apart(&self, p: u16, step: &'static str, result: Result<(), CallError>) -> Result<(), CallError> {
        match result {
            Err(CallError::InvalidReply(fault)) => {
                tracing::error!(
                    event = "database.invalid_reply",
                    partition = p,
                    step,
                    error = %fault,
                    "invalid reply in a housekeeping step; the other steps continue"
                );
                self.meter.alert("housekeeping_failed");
                Ok(())
            }
            other => other,
        }
    }

    /// A failure in one partition does not stop the others, unless it is fatal.
    fn pass(&self, p: u16, step: &'static str, result: Result<(), CallError>) -> Result<(), CallError> {
        match self.apart(p, step, result) {
            Err(error) if !matches!(error, CallError::Fatal(_)) => {
                tracing::debug!(partition = p, step, %error, "housekeeping of a partition failed; will retry");
                Ok(())
            }
            other => other,
        }
    }

    /// One round over every partition. Returns true if work is left over.
    async fn round(&mut self) -> Result<bool, CallError> {
        self.round += 1;
        self.more = false;
        // Housekeeping is not urgent: each round does a third of it.
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

    /// Walks one index after the other, of every channel, also of those without a courier.
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
                for index in [Index::Ready(Priority::Urgent), Index::Ready(Priority::Bulk), Index::Unresolved]
                {
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
            let closed = match self.store.expire_parcels(*p, channel, *index, self.walk.rank, STEP).await {
                Ok(answer) => answer.reply,
                Err(error) => {
                    // If a partition did not answer, skip the rest of its indexes.
                    let rest = stops.iter().skip(self.walk.at).take_while(|(other, ..)| other == p).count();
                    let skipped = if matches!(error, CallError::InvalidReply(_)) { 1 } else { rest };
                    self.pass(*p, "close", Err(error))?;
                    self.walk = Walk { at: self.walk.at + skipped, rank: 0 };
                    continue;
                }
            };
            self.meter.dropped(closed.lost);
            // A step at the end of its index costs little: with many partitions most indexes are short.
            let cost = if closed.next.is_some() { FULL_STEP } else { 1 };
            match closed.next {
                Some(rank) => self.walk.rank = rank,
                None => self.walk = Walk { at: self.walk.at + 1, rank: 0 },
            }
            // Where something expired, there is probably more; otherwise a long index is read over several rounds.
            let ended = closed.closed + closed.lost > 0;
            if ended && Instant::now() < busy_until {
                continue;
            }
            self.more |= ended;
            left = left.saturating_sub(cost);
        }
        Ok(())
    }

    /// Removes abandoned uploads and orders past their retention, checks the indexes of some orders, and reports
    /// parked records.
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
        let reported = self.tell_parked(p, lines).await;
        self.apart(p, "parked", reported)
    }

    async fn unstage(&self, p: u16) -> Result<(), CallError> {
        for _ in 0..STEPS {
            match self.store.unstage(p, None).await?.reply {
                Unstaged::Done(None) => break,
                Unstaged::Done(Some(_)) => {
                    tracing::info!(
                        event = "upload.removed",
                        "removed an abandoned upload: its order was never completed"
                    )
                }
                Unstaged::More(_) => {}
            }
        }
        Ok(())
    }

    async fn retire(&mut self, p: u16) -> Result<(), CallError> {
        for day in self.store.days_to_retire(p, self.settings.retention_days).await? {
            let busy_until = Instant::now() + BUSY;
            loop {
                match self.store.purge_orders(p, day, self.settings.retention_days).await?.reply {
                    PurgedOrders::More(n) => {
                        self.meter.purged(n);
                        if Instant::now() >= busy_until {
                            self.more = true;
                            break;
                        }
                    }
                    PurgedOrders::Done(n) => {
                        self.meter.purged(n);
                        break;
                    }
                    PurgedOrders::TooEarly => break,
                }
            }
        }
        Ok(())
    }

    /// Logs the records parked in a partition since the last round, each once; in the first round all of them.
    async fn tell_parked(&mut self, p: u16, lines: &mut usize) -> Result<(), CallError> {
        let since = self.parked_reported.get(&p).copied().unwrap_or(UnixMs(0));
        let (mut cursor, mut latest) = (None, since);
        for _ in 0..PARKED_PAGES {
            let page = self.store.list_parked_of(p, cursor, PARKED_PAGE).await?;
            for entry in page.entries.iter().filter(|entry| entry.since > since) {
                latest = latest.max(entry.since);
                self.meter.found_parked();
                if *lines > 0 {
                    *lines -= 1;
                    let (order, why) = (entry.name.order_id().wire_id(), &entry.why);
                    tracing::error!(event = "record.parked", order, why, "unreadable record parked");
                    self.meter.alert("record_parked");
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        self.parked_reported.insert(p, latest);
        Ok(())
    }

    /// Checks orders whose record and indexes may disagree, going round the list of all orders. Orders found by a
    /// scan are checked to the end, over several rounds if needed, before the next scan.
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
            let scanned = self.store.scan_orders(p, audit.position, ORDERS_A_SCAN).await?.reply;
            for order_id in &scanned.named {
                match self.store.order_head(order_id).await {
                    Ok(None) => {}
                    Ok(Some(head)) => {
                        let channels = head.channels.into_iter().filter(|(_, deliveries)| *deliveries > 0);
                        audit.named.extend(channels.map(|(channel, _)| (order_id.clone(), channel, 0)));
                    }
                    Err(error) => self.apart(p, "audit", Err(error))?,
                }
            }
            audit.position = scanned.next.unwrap_or(0);
            if audit.position == 0 {
                break;
            }
        }
        for _ in 0..AUDITS {
            let Some((order_id, channel, from)) = audit.named.pop_front() else { break };
            match self.audit_step(p, &order_id, &channel, from).await {
                Ok(None) => {}
                Ok(Some(next)) => audit.named.push_front((order_id, channel, next)),
                Err(error) => self.apart(p, "audit", Err(error))?,
            }
        }
        Ok(())
    }

    async fn audit_step(
        &self,
        p: u16,
        order_id: &OrderId,
        channel: &Channel,
        from: u32,
    ) -> Result<Option<u32>, CallError> {
        let RepairedIndexes::Ok { next, mended } =
            self.store.repair_indexes(p, channel, order_id, from).await?.reply
        else {
            return Ok(None);
        };
        if mended > 0 {
            tracing::error!(
                event = "index.repaired",
                %channel,
                parcels = mended,
                "parcels were missing from their index and have been put back"
            );
            self.meter.repaired(u64::from(mended));
        }
        Ok(next)
    }
}
