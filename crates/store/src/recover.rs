//! Going on after the database went back or was wiped, as somebody decided who knows what was lost.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, Lane, Suffix, UnixMs};
use posthaste_protocol::scripts::doubt::{Doubt, DoubtIndex};
use posthaste_protocol::scripts::halt::{Halt as HaltScript, HaltCause};
use posthaste_protocol::scripts::recover::Recover;
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::{Answer, Script, Value};

use crate::epoch::Epoch;
use crate::error::{CallError, Later};
use crate::guard::Partition;
use crate::halted::{self, Halt};
use crate::node::{Node, text};
use crate::store::{Inner, Store};
use crate::verbs::malformed;

/// So long after a halt was noticed a courier that had not heard of it may still have begun rows.
const UNHEARD: Duration = Duration::from_secs(5);
/// Parcels of one step.
const STEP: u32 = 100;

/// What is taken for true of rows that may have been begun in the span that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assume {
    /// They were sent: they become unknown and are not sent again.
    Sent,
    /// They were not: they are sent, perhaps for the second time.
    Unsent,
}

/// A parcel of an order with rows in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// The order.
    pub order: Suffix,
    /// The channel.
    pub channel: Channel,
    /// Rows in doubt.
    pub rows: u32,
}

/// What a recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What was known; `None`: nothing was halted, and nothing was done.
    pub halt: Option<Halt>,
    /// Acknowledged orders known to be lost, and when they were accepted; the first 20,000 of each partition.
    pub lost: Vec<(Suffix, UnixMs)>,
    /// Partitions that go on.
    pub partitions: u16,
}

impl Inner {
    /// Waits while sends of a partition are held back.
    pub(crate) async fn hold(&self, p: u16) -> Result<(), CallError> {
        if let Some(until) = self.partition(p)?.held() {
            tokio::time::sleep_until(until).await;
        }
        Ok(())
    }
}

/// A partition under its halted epoch.
struct Halted<'a> {
    inner: &'a Arc<Inner>,
    at: &'a Partition,
    epoch: String,
}

impl Halted<'_> {
    async fn call<S: Script>(&self, script: &S) -> Result<Answer<S::Reply>, CallError> {
        let answer = self.inner.call_as(self.at, &self.epoch, script).await?;
        // Somebody else recovers it at the same time.
        answer.ok_or(CallError::Later { why: Later::Recovered })
    }

    /// Names what is in doubt, and ends it if asked for.
    async fn doubt(
        &self,
        (from, halted): (UnixMs, UnixMs),
        end: bool,
        told: &mut impl FnMut(InDoubt),
    ) -> Result<(), CallError> {
        let keys = &self.at.keys;
        // What was due is among the ready parcels then.
        while self.call(&Ring { keys }).await?.reply.parcels > 0 {}
        let node = Node::routed(self.inner, false);
        for channel in channels(&node, self.at).await? {
            let ready = |lane| DoubtIndex::Ready { lane, from };
            let indexes = [
                DoubtIndex::Leased,
                DoubtIndex::Unresolved,
                DoubtIndex::Parked,
                ready(Lane::Urgent),
                ready(Lane::Bulk),
            ];
            for index in indexes {
                let mut next = Some(0);
                while let Some(from) = next {
                    let script = Doubt { keys, channel: &channel, index, halted, end, from, limit: STEP };
                    let found = self.call(&script).await?.reply;
                    for (member, rows) in found.parcels {
                        told(InDoubt { order: member.suffix, channel: channel.clone(), rows });
                    }
                    next = found.next;
                }
            }
        }
        Ok(())
    }
}

/// Channels a partition knows, those of senders without a courier too.
async fn channels(node: &Node, at: &Partition) -> Result<Vec<Channel>, CallError> {
    let names = node.ask("HKEYS", vec![text(at.keys.channels())], at.slot).await?;
    let names = names.array("channels").map_err(|_| malformed("channels"))?;
    let names = names.into_iter().filter_map(|name| name.text("channel").ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

impl Store {
    /// Ends a halt: every partition gets a fence above all that were given out and the next generation of its epoch, and all
    /// processes go on by themselves. Before that, what may have been begun in the span that is lost is told, and ended as
    /// unknown when it is taken for [`Assume::Sent`].
    ///
    /// `since` leaves out what had been ready before that moment, which is right only when there was no backlog then. Where
    /// nothing is halted it halts first, for a copy that was put back while no process was there to notice. Harmless when
    /// repeated, also after an interruption.
    ///
    /// # Errors
    /// A [`CallError`]; what was not recovered stays halted.
    pub async fn recover(
        &self,
        assume: Assume,
        since: Option<UnixMs>,
        mut told: impl FnMut(InDoubt),
    ) -> Result<Recovery, CallError> {
        let inner = &self.0;
        let node = Node::routed(inner, false);
        let mut halted = inner.halted_partitions().await?;
        if halted.is_empty() && since.is_some() {
            inner.halt_all(since).await?;
            halted = inner.halted_partitions().await?;
        }
        let mut recovery = Recovery::default();
        for partition in &halted {
            let at = partition.at;
            let Some(halt) = halted::read(&node, at).await? else { continue };
            recovery.lost.extend(halted::orders(&node, at, 0, -1).await?);
            let noticed = halt.noticed.unwrap_or(UnixMs(0));
            let until = UnixMs(noticed.0 + u64::try_from(UNHEARD.as_millis()).unwrap_or(0));
            match &mut recovery.halt {
                Some(whole) => whole.join(halt),
                None => recovery.halt = Some(halt),
            }
            // A server that lost nothing is stopped with the others, and its rows are certain.
            let found = node.ask("HEXISTS", vec![text(at.keys.halted()), "found".into()], at.slot).await?;
            if matches!(found, Value::Int(1)) {
                let from = since.unwrap_or(UnixMs(0));
                partition.doubt((from, until), assume == Assume::Sent, &mut told).await?;
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
        let node = Node::routed(self, false);
        let mut halted = Vec::new();
        for at in self.guard.all() {
            let epoch = Self::get(&node, at.slot, at.keys.epoch()).await?;
            let epoch = epoch.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
            if Epoch::of(&epoch).halted {
                halted.push(Halted { inner: self, at, epoch });
            }
        }
        Ok(halted)
    }

    async fn halt_all(self: &Arc<Self>, since: Option<UnixMs>) -> Result<(), CallError> {
        let node = Node::routed(self, false);
        for at in self.guard.all() {
            let Some(epoch) = Self::get(&node, at.slot, at.keys.epoch()).await? else { continue };
            let fence = Self::get(&node, at.slot, at.keys.fence()).await?;
            let known = fence.and_then(|fence| Value::Bytes(fence).u64("fence").ok()).unwrap_or(0);
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
