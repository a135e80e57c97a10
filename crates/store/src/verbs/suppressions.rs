//! Who gets nothing: the suppression lists of the channels. All are in the first partition; addresses are kept as hashes.

use std::fmt;
use std::str::FromStr;

use futures::future::try_join_all;
use posthaste_model::{Address, Channel, Reason, SenderId, UnixMs};
use posthaste_protocol::Value;
use posthaste_protocol::record::{Source, Standing, SuppressionId, SuppressionRecord};
use posthaste_protocol::scripts::lift::{LiftSuppression, Lifted};
use posthaste_protocol::scripts::suppress::{MOST_ENTRIES, NewSuppression, PutSuppressions, Suppressed};

use super::consent::Notice;
use super::recipients::InvalidCursor;
use crate::address_key::PARTITION;
use crate::error::{CallError, Fault, Later, StopWhy};
use crate::node::{Node, text};
use crate::store::Store;

/// Fields of one HMGET at most.
const MOST_FIELDS: usize = 2_000;
/// Entries of a page at most, about.
const MOST_LISTED: usize = 1_000;
/// Calls for one page at most.
const MOST_SCANS: usize = 20;
/// How often a lift looks again when the entry changes under its hands.
const MOST_LOOKS: usize = 10;

/// An address to be put on a list.
#[derive(Debug, Clone)]
pub struct Suppress {
    /// On the list of this sender; `None`: on the channel's.
    pub sender: Option<SenderId>,
    /// The address.
    pub address: Address,
    /// Why.
    pub reason: Reason,
    /// Who says so.
    pub source: Source,
    /// So many strikes, on different days, suffice; 1: at once.
    pub after: u8,
    /// What says so, and when it was said. A copy of it changes nothing.
    pub notice: Notice,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppression {
    /// What it is found by.
    pub id: SuppressionId,
    /// Whether it is on the list of one sender, whose name is in the hash alone; else on the channel's.
    pub of_sender: bool,
    /// Whether the address gets nothing; else strikes are counted and it still gets everything.
    pub active: bool,
    /// Why.
    pub reason: Reason,
    /// Who said so.
    pub source: Source,
    /// Since when it is active, or the first strike.
    pub since: UnixMs,
    /// Strikes counted, 255 at most.
    pub strikes: u8,
}

impl Suppression {
    /// `None` for one that was lifted.
    fn read(id: SuppressionId, record: &SuppressionRecord) -> Option<Self> {
        let active = match record.standing {
            Standing::Active => true,
            Standing::Striking => false,
            Standing::Lifted => return None,
        };
        let since = if active { record.last } else { record.first };
        let SuppressionRecord { reason, source, strikes, of_sender, .. } = *record;
        Some(Self { id, of_sender, active, reason, source, since, strikes })
    }
}

/// Where a page of a suppression list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuppressionCursor(u64);

impl fmt::Display for SuppressionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for SuppressionCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|at| digits && *at > 0).map(Self).ok_or(InvalidCursor)
    }
}

/// Some entries of a list.
#[derive(Debug, Clone)]
pub struct SuppressionPage {
    /// The entries, in no order.
    pub entries: Vec<Suppression>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<SuppressionCursor>,
}

fn fault(malformed: posthaste_protocol::Malformed) -> CallError {
    CallError::Fault(Fault::Malformed(malformed))
}

/// The reason of a record, if its address gets nothing. What can't be read, being of a later version, counts as a wish to get
/// nothing: better one message too few.
fn reason(value: Value) -> Result<Option<Reason>, CallError> {
    if matches!(value, Value::Nil) {
        return Ok(None);
    }
    Ok(match SuppressionRecord::decode(&value.bytes("suppression").map_err(fault)?) {
        Ok(SuppressionRecord { standing: Standing::Active, reason, .. }) => Some(reason),
        Ok(_) => None,
        Err(_) => {
            tracing::warn!("a suppression can't be read and is taken for one");
            Some(Reason::Suppressed)
        }
    })
}

impl Store {
    /// Of each address asked for, with the sender who writes to it: why it gets nothing, if it is on the list of the channel or
    /// on that of the sender. The channel's word goes first. One question for all, and none when nothing is asked.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn suppressed(
        &self,
        channel: &Channel,
        asked: &[(&str, &Address)],
    ) -> Result<Vec<Option<Reason>>, CallError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.0.address_key()?;
        let mut ids = Vec::with_capacity(asked.len() * 2);
        let mut last: Option<SenderId> = None;
        for (sender, address) in asked {
            // Rows of an order follow each other, and have one sender.
            let sender = match last.take().filter(|last| last.as_str() == *sender) {
                Some(same) => last.insert(same),
                None => last.insert(sender.parse().map_err(|_| super::malformed("sender"))?),
            };
            ids.extend(key.both_ids(sender, address));
        }
        let node = &self.0.reader().await?.or_replica();
        let parts = try_join_all(ids.chunks(MOST_FIELDS).map(|ids| self.records(node, channel, ids))).await?;
        let mut reasons = parts.into_iter().flatten().map(reason);
        let mut answers = Vec::with_capacity(asked.len());
        while let (Some(of_channel), Some(of_sender)) = (reasons.next(), reasons.next()) {
            answers.push(of_channel?.or(of_sender?));
        }
        Ok(answers)
    }

    /// Puts addresses on lists of a channel, or counts strikes; what became of each, in their order. Harmless when repeated.
    ///
    /// # Errors
    /// A [`CallError`]. What stands in the first calls may be done then: repeat all.
    pub async fn suppress(&self, channel: &Channel, all: &[Suppress]) -> Result<Vec<Suppressed>, CallError> {
        let before = self.0.before_confirm(PARTITION);
        let at = self.0.partition(PARTITION)?;
        let key = self.0.address_key()?;
        let ids: Vec<_> = all.iter().map(|one| key.id(one.sender.as_ref(), &one.address)).collect();
        let entry = |(one, id): (&Suppress, &SuppressionId)| NewSuppression {
            id: *id,
            of_sender: one.sender.is_some(),
            reason: one.reason,
            source: one.source,
            after: one.after.max(1),
            notice: one.notice.of_opt_out(&key),
        };
        let entries: Vec<_> = all.iter().zip(&ids).map(entry).collect();
        let mut done = Vec::with_capacity(all.len());
        for entries in entries.chunks(MOST_ENTRIES) {
            let script = PutSuppressions { keys: &at.keys, key: &key, channel, entries };
            let letters = self.0.call(PARTITION, &script).await?.reply;
            let letters = letters.ok_or_else(|| self.0.guard.stop(StopWhy::AddressKey))?;
            if letters.len() != entries.len() {
                return Err(super::malformed("letters of suppress"));
            }
            done.extend(letters);
        }
        if !done.is_empty() {
            self.0.confirmed(PARTITION, before).await?;
        }
        Ok(done)
    }

    /// Takes an address off the list of a sender, or of the channel, for an operator, and forgets its strikes there. False when
    /// there was nothing to lift.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn lift(
        &self,
        channel: &Channel,
        address: &Address,
        sender: Option<&SenderId>,
    ) -> Result<bool, CallError> {
        let id = self.0.address_key()?.id(sender, address);
        self.lift_entry(channel, id).await
    }

    /// Takes an entry off its list. False when there was nothing to lift.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn lift_entry(&self, channel: &Channel, id: SuppressionId) -> Result<bool, CallError> {
        let before = self.0.before_confirm(PARTITION);
        let at = self.0.partition(PARTITION)?;
        let key = self.0.address_key()?;
        for _ in 0..MOST_LOOKS {
            let record = self.record(&self.0.reader().await?, channel, id).await?;
            let Some(SuppressionRecord { last: seen, .. }) = record else { return Ok(false) };
            let script = LiftSuppression { keys: &at.keys, key: &key, channel, id, seen };
            let lifted = match self.0.call(PARTITION, &script).await?.reply {
                Lifted::Changed(_) => continue,
                Lifted::Lifted => true,
                // Asked again: a lift that was not confirmed may be by now.
                Lifted::Before(_) => false,
                Lifted::Gone => return Ok(false),
                Lifted::Bad => return Err(super::malformed("suppression")),
                Lifted::OtherKey => return Err(self.0.guard.stop(StopWhy::AddressKey)),
            };
            self.0.confirmed(PARTITION, before).await?;
            return Ok(lifted);
        }
        Err(CallError::Later { why: Later::Backlog })
    }

    /// The entry of an address on the list of a sender, or of the channel; `None` when there is none, or it was lifted.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when the record can't be read.
    pub async fn find_suppression(
        &self,
        channel: &Channel,
        address: &Address,
        sender: Option<&SenderId>,
    ) -> Result<Option<Suppression>, CallError> {
        let id = self.0.address_key()?.id(sender, address);
        let record = self.record(&self.0.reader().await?, channel, id).await?;
        Ok(record.and_then(|record| Suppression::read(id, &record)))
    }

    /// The entries of a channel, its own and those of all senders, in no order. `limit`: 1 to 1,000. A page may be shorter, or
    /// somewhat longer, and still have a next one; while the list changes an entry may be told twice. One that can't be read
    /// is left out.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn list_suppressions(
        &self,
        channel: &Channel,
        cursor: Option<SuppressionCursor>,
        limit: usize,
    ) -> Result<SuppressionPage, CallError> {
        let at = self.0.partition(PARTITION)?;
        let node = &self.0.reader().await?;
        let limit = limit.clamp(1, MOST_LISTED);
        let (mut entries, mut cursor) = (Vec::new(), cursor.map_or(0, |cursor| cursor.0));
        for _ in 0..MOST_SCANS {
            let count = (limit - entries.len()).to_string();
            let args = vec![
                text(at.keys.suppressed(channel)),
                text(cursor.to_string()),
                "COUNT".into(),
                text(count),
            ];
            let reply = node.ask("HSCAN", args, at.slot).await?.array("page").map_err(fault)?;
            let mut reply = posthaste_protocol::Fields::new(reply);
            cursor = reply.u64("cursor").map_err(fault)?;
            let mut flat = reply.array("entries").map_err(fault)?.into_iter();
            while let (Some(field), Some(record)) = (flat.next(), flat.next()) {
                let id = SuppressionId::from_field(&field.bytes("field").map_err(fault)?);
                let record = SuppressionRecord::decode(&record.bytes("suppression").map_err(fault)?);
                match (id, record) {
                    (Ok(id), Ok(record)) => entries.extend(Suppression::read(id, &record)),
                    _ => tracing::warn!("a suppression can't be read"),
                }
            }
            if cursor == 0 || entries.len() >= limit {
                break;
            }
        }
        Ok(SuppressionPage { entries, next: (cursor > 0).then_some(SuppressionCursor(cursor)) })
    }

    /// Records of a list as they are, in the order of the ids.
    async fn records(
        &self,
        node: &Node,
        channel: &Channel,
        ids: &[SuppressionId],
    ) -> Result<Vec<Value>, CallError> {
        let at = self.0.partition(PARTITION)?;
        let mut args = Vec::with_capacity(ids.len() + 1);
        args.push(text(at.keys.suppressed(channel)));
        let mut rest: bytes::Bytes = ids.iter().flat_map(SuppressionId::as_bytes).copied().collect();
        args.extend(ids.iter().map(|id| fred::types::Value::Bytes(rest.split_to(id.as_bytes().len()))));
        let records = node.ask("HMGET", args, at.slot).await?.array("suppressions").map_err(fault)?;
        if records.len() == ids.len() { Ok(records) } else { Err(super::malformed("suppressions")) }
    }

    async fn record(
        &self,
        node: &Node,
        channel: &Channel,
        id: SuppressionId,
    ) -> Result<Option<SuppressionRecord>, CallError> {
        match self.records(node, channel, &[id]).await?.pop() {
            None | Some(Value::Nil) => Ok(None),
            Some(record) => {
                let record = record.bytes("suppression").map_err(fault)?;
                SuppressionRecord::decode(&record).map(Some).map_err(fault)
            }
        }
    }

    /// Whether there is an entry, lifted or not.
    pub(super) async fn is_listed(&self, channel: &Channel, id: SuppressionId) -> Result<bool, CallError> {
        let records = self.records(&self.0.reader().await?, channel, &[id]).await?;
        Ok(records.iter().any(|record| !matches!(record, Value::Nil)))
    }
}
