//! Going on after the database went back or was wiped, by the decision of an operator who knows what was lost.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, OrderId, Priority, UnixMs};
use posthaste_protocol::scripts::halt::{HaltCause, HaltDatabase as HaltScript};
use posthaste_protocol::scripts::list_in_doubt::{DoubtIndex, ListInDoubt};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::{ReplyValue, ScriptAnswer, ScriptCall};

use crate::command::text;
use crate::epoch::Epoch;
use crate::epoch_guard::Partition;
use crate::error::{CallError, malformed};
use crate::halt_record;
use crate::halted::HaltState;
use crate::inner::Inner;
use crate::reader::Reader;
use crate::retryable::Retryable;
use crate::store::Store;

/// For this long after a halt was noticed, a courier that had not learned of it may still have begun deliveries.
const MAX_SILENCE: Duration = Duration::from_secs(5);
/// Parcels per step.
const STEP: u32 = 100;

/// The assumption about deliveries that may have been begun in the lost span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assume {
    /// They were sent: they become unknown and are not sent again.
    Sent,
    /// They were not sent: they are sent now, perhaps for the second time.
    Unsent,
}

/// A parcel of an order with deliveries in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// The order.
    pub order: OrderId,
    /// The channel.
    pub channel: Channel,
    /// Deliveries in doubt.
    pub deliveries: u32,
}

/// What a recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What was known; `None`: nothing was halted, and nothing was done.
    pub halt: Option<HaltState>,
    /// Acknowledged orders known to be lost, and when they were accepted; at most 20,000 per partition.
    pub lost: Vec<(OrderId, UnixMs)>,
    /// Partitions that were recovered.
    pub partitions: u16,
}

/// A partition under its halted epoch.
struct Halted<'a> {
    inner: &'a Arc<Inner>,
    at: &'a Partition,
    epoch: String,
}

impl Halted<'_> {
    async fn call<S: ScriptCall>(&self, script: &S) -> Result<ScriptAnswer<S::Reply>, CallError> {
        let answer = self.inner.call_as(self.at, &self.epoch, script).await?;
        // Another process is recovering it at the same time.
        answer.ok_or(CallError::Retryable { why: Retryable::Recovered })
    }

    /// Reports what is in doubt, and ends it if `end` is set.
    async fn doubt(
        &self,
        (from, halted): (UnixMs, UnixMs),
        end: bool,
        reported: &mut impl FnMut(InDoubt),
    ) -> Result<(), CallError> {
        let keys = &self.at.keys;
        // Then everything that was due is among the ready parcels.
        while self.call(&PromoteDue { keys }).await?.reply.parcels > 0 {}
        let reader = Reader::unguarded(self.inner);
        for channel in channels(&reader, self.at).await? {
            let ready = |priority| DoubtIndex::Ready { priority, from };
            let indexes = [
                DoubtIndex::Leased,
                DoubtIndex::Unresolved,
                DoubtIndex::Parked,
                ready(Priority::Urgent),
                ready(Priority::Bulk),
            ];
            for index in indexes {
                let mut next = Some(0);
                while let Some(from) = next {
                    let script =
                        ListInDoubt { keys, channel: &channel, index, halted, end, from, limit: STEP };
                    let found = self.call(&script).await?.reply;
                    for (parcel_id, deliveries) in found.parcels {
                        reported(InDoubt { order: parcel_id.order_id, channel: channel.clone(), deliveries });
                    }
                    next = found.next;
                }
            }
        }
        Ok(())
    }
}

/// Channels a partition knows, including channels of orders without a courier.
async fn channels(reader: &Reader, at: &Partition) -> Result<Vec<Channel>, CallError> {
    let names = reader.ask("HKEYS", vec![text(at.keys.channels())], at.slot).await?;
    let names = names.array("channels").map_err(|_| malformed("channels"))?;
    let names = names.into_iter().filter_map(|name| name.text("channel").ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

impl Store {
    /// Ends a halt: every partition gets a fence above all that were given out, and the next generation of its epoch;
    /// then all processes go on by themselves. Before that, everything that may have been begun in the lost span is
    /// reported, and ended as unknown with [`Assume::Sent`].
    ///
    /// `since` leaves out what was ready before that moment, which is right only when there was no backlog then. With
    /// `since`, a database that is not halted is halted first, for a backup that was restored while no process was
    /// running to notice. Harmless when repeated, also after an interruption.
    ///
    /// # Errors
    /// A [`CallError`]; partitions that were not recovered stay halted.
    pub async fn recover(
        &self,
        assume: Assume,
        since: Option<UnixMs>,
        mut reported: impl FnMut(InDoubt),
    ) -> Result<Recovery, CallError> {
        let inner = &self.0;
        let reader = Reader::unguarded(inner);
        let mut halted = inner.halted_partitions().await?;
        if halted.is_empty() && since.is_some() {
            inner.halt_all(since).await?;
            halted = inner.halted_partitions().await?;
        }
        let mut recovery = Recovery::default();
        for partition in &halted {
            let at = partition.at;
            let Some(halt) = halt_record::read(&reader, at).await? else { continue };
            recovery.lost.extend(halt_record::orders(&reader, at, 0, -1).await?);
            let noticed = halt.noticed.unwrap_or(UnixMs(0));
            let until = UnixMs(noticed.0 + u64::try_from(MAX_SILENCE.as_millis()).unwrap_or(0));
            match &mut recovery.halt {
                Some(whole) => whole.join(halt),
                None => recovery.halt = Some(halt),
            }
            // A server that lost nothing is halted with the others, but its deliveries are certain.
            let found = reader.ask("HEXISTS", vec![text(at.keys.halted()), "found".into()], at.slot).await?;
            if matches!(found, ReplyValue::Int(1)) {
                let from = since.unwrap_or(UnixMs(0));
                partition.doubt((from, until), assume == Assume::Sent, &mut reported).await?;
            }
        }
        for partition in &halted {
            let script = Recover { keys: &partition.at.keys, partitions: inner.settings.partitions };
            partition.call(&script).await?;
            recovery.partitions += 1;
        }
        recovery.lost.sort_by_key(|(_, accepted)| *accepted);
        Ok(recovery)
    }
}

impl Inner {
    async fn halted_partitions<'a>(self: &'a Arc<Self>) -> Result<Vec<Halted<'a>>, CallError> {
        let reader = Reader::unguarded(self);
        let mut halted = Vec::new();
        for at in self.guard.all() {
            let epoch = reader.get(at.slot, at.keys.epoch()).await?;
            let epoch = epoch.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
            if Epoch::of(&epoch).halted {
                halted.push(Halted { inner: self, at, epoch });
            }
        }
        Ok(halted)
    }

    async fn halt_all(self: &Arc<Self>, since: Option<UnixMs>) -> Result<(), CallError> {
        let reader = Reader::unguarded(self);
        for at in self.guard.all() {
            let Some(epoch) = reader.get(at.slot, at.keys.epoch()).await? else { continue };
            let fence = reader.get(at.slot, at.keys.fence()).await?;
            let known = fence.and_then(|fence| ReplyValue::Bytes(fence).u64("fence").ok()).unwrap_or(0);
            let script = HaltScript {
                keys: &at.keys,
                cause: HaltCause::WentBack,
                found: Some(known),
                known,
                since,
                last: None,
                orders: &[],
            };
            self.call_as(at, &String::from_utf8_lossy(&epoch), &script).await?;
        }
        Ok(())
    }
}
