//! The suppression lists of the channels. All are in the first partition; addresses are stored as hashes.

use std::fmt;
use std::str::FromStr;

use futures::future::try_join_all;
use posthaste_model::{Address, Channel, Reason, SenderId, UnixMs};
use posthaste_protocol::ReplyValue;
use posthaste_protocol::record::{SuppressionId, SuppressionRecord, SuppressionSource, SuppressionStatus};
use posthaste_protocol::scripts::delete_suppression::{DeleteSuppression, SuppressionDeletion};
use posthaste_protocol::scripts::suppress::{MOST_ENTRIES, NewSuppression, PutSuppressions, Suppressed};

use super::consent::ConsentNotice;
use super::recipients::InvalidCursor;
use crate::address_key::PARTITION;
use crate::command::text;
use crate::error::{CallError, FatalReason, InvalidReply, malformed};
use crate::reader::Reader;
use crate::retryable::Retryable;
use crate::store::Store;

/// Most fields of one HMGET.
const MOST_FIELDS: usize = 2_000;
/// Approximate maximum of entries on a page.
const MOST_LISTED: usize = 1_000;
/// Most calls for one page.
const MOST_SCANS: usize = 20;
/// How often a deletion is retried when the entry changes at the same time.
const MOST_LOOKS: usize = 10;

/// An address to add to a list.
#[derive(Debug, Clone)]
pub struct Suppress {
    /// The list of this sender; `None`: the list of the channel.
    pub sender: Option<SenderId>,
    /// The address.
    pub address: Address,
    /// The reason.
    pub reason: Reason,
    /// The source of the suppression.
    pub source: SuppressionSource,
    /// How many strikes, on different days, are needed; 1 means at once.
    pub after: u8,
    /// The notice behind it, and when it was given. A copy of the notice changes nothing.
    pub notice: ConsentNotice,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuppressionEntry {
    /// The id by which it is found.
    pub id: SuppressionId,
    /// Whether it is on the list of one sender, whose name is only in the hash; otherwise on the channel's list.
    pub of_sender: bool,
    /// Whether the address gets no messages; otherwise strikes are only counted, and it still gets everything.
    pub active: bool,
    /// The reason.
    pub reason: Reason,
    /// The source of the suppression.
    pub source: SuppressionSource,
    /// When it became active, or the time of the first strike.
    pub since: UnixMs,
    /// Strikes counted, 255 at most.
    pub strikes: u8,
}

impl SuppressionEntry {
    /// `None` for a deleted entry.
    fn read(id: SuppressionId, record: &SuppressionRecord) -> Option<Self> {
        let active = match record.status {
            SuppressionStatus::Active => true,
            SuppressionStatus::Striking => false,
            SuppressionStatus::Deleted => return None,
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

/// A page of entries of a list.
#[derive(Debug, Clone)]
pub struct SuppressionPage {
    /// The entries, in no particular order.
    pub entries: Vec<SuppressionEntry>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<SuppressionCursor>,
}

fn fault(malformed: posthaste_protocol::Malformed) -> CallError {
    CallError::InvalidReply(InvalidReply::Malformed(malformed))
}

/// The reason of a record, if its address gets no messages. A record of a later version can't be read and counts as
/// an active suppression: better one message too few.
fn reason(value: ReplyValue) -> Result<Option<Reason>, CallError> {
    if matches!(value, ReplyValue::Nil) {
        return Ok(None);
    }
    Ok(match SuppressionRecord::decode(&value.bytes("suppression").map_err(fault)?) {
        Ok(SuppressionRecord { status: SuppressionStatus::Active, reason, .. }) => Some(reason),
        Ok(_) => None,
        Err(_) => {
            tracing::warn!(
                event = "suppression.unreadable",
                "cannot read a suppression; its address is treated as suppressed"
            );
            Some(Reason::Suppressed)
        }
    })
}

impl Store {
    /// For each address, with the sender who writes to it: why it gets no messages, if it is on the list of the
    /// channel or of the sender. The channel's list takes precedence. Makes one query for all addresses, and none
    /// when there are no addresses.
    /// # Errors
    /// A [`CallError`].
    pub async fn suppressed(
        &self,
        channel: &Channel,
        requested: &[(&str, &Address)],
    ) -> Result<Vec<Option<Reason>>, CallError> {
        if requested.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.0.address_key()?;
        let mut ids = Vec::with_capacity(requested.len() * 2);
        let mut last: Option<SenderId> = None;
        for (sender, address) in requested {
            // Deliveries of an order come one after another and have the same sender.
            let sender = match last.take().filter(|last| last.as_str() == *sender) {
                Some(same) => last.insert(same),
                None => last.insert(sender.parse().map_err(|_| malformed("sender"))?),
            };
            ids.extend(key.both_ids(sender, address));
        }
        let reader = &self.0.reader().await?.or_replica();
        let parts =
            try_join_all(ids.chunks(MOST_FIELDS).map(|ids| self.records(reader, channel, ids))).await?;
        let mut reasons = parts.into_iter().flatten().map(reason);
        let mut answers = Vec::with_capacity(requested.len());
        while let (Some(of_channel), Some(of_sender)) = (reasons.next(), reasons.next()) {
            answers.push(of_channel?.or(of_sender?));
        }
        Ok(answers)
    }

    /// Adds addresses to lists of a channel, or counts strikes; returns the result for each, in the same order.
    /// Harmless when repeated.
    ///
    /// # Errors
    /// A [`CallError`]. Then the entries of the first calls may already be stored: repeat all.
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
            let letters = letters.ok_or_else(|| self.0.guard.stop(FatalReason::AddressKey))?;
            if letters.len() != entries.len() {
                return Err(malformed("letters of suppress"));
            }
            done.extend(letters);
        }
        if !done.is_empty() {
            self.0.confirmed(PARTITION, before).await?;
        }
        Ok(done)
    }

    /// Removes an address from the list of a sender, or of the channel, for an operator, and forgets its strikes
    /// there. False when there was nothing to delete.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn delete_suppression(
        &self,
        channel: &Channel,
        address: &Address,
        sender: Option<&SenderId>,
    ) -> Result<bool, CallError> {
        let id = self.0.address_key()?.id(sender, address);
        self.delete_suppression_by_id(channel, id).await
    }

    /// Removes an entry from its list. False when there was nothing to delete.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn delete_suppression_by_id(
        &self,
        channel: &Channel,
        id: SuppressionId,
    ) -> Result<bool, CallError> {
        let before = self.0.before_confirm(PARTITION);
        let at = self.0.partition(PARTITION)?;
        let key = self.0.address_key()?;
        for _ in 0..MOST_LOOKS {
            let record = self.record(&self.0.reader().await?, channel, id).await?;
            let Some(SuppressionRecord { last: seen, .. }) = record else { return Ok(false) };
            let script = DeleteSuppression { keys: &at.keys, key: &key, channel, id, seen };
            let deleted = match self.0.call(PARTITION, &script).await?.reply {
                SuppressionDeletion::Changed(_) => continue,
                SuppressionDeletion::Deleted => true,
                // Confirmed again: an earlier deletion that was not confirmed may be by now.
                SuppressionDeletion::AlreadyDone(_) => false,
                SuppressionDeletion::NotFound => return Ok(false),
                SuppressionDeletion::Unreadable => return Err(malformed("suppression")),
                SuppressionDeletion::WrongKey => return Err(self.0.guard.stop(FatalReason::AddressKey)),
            };
            self.0.confirmed(PARTITION, before).await?;
            return Ok(deleted);
        }
        Err(CallError::Retryable { why: Retryable::Backlog })
    }

    /// The entry of an address on the list of a sender, or of the channel; `None` when there is none, or it was
    /// deleted.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the record can't be read.
    pub async fn find_suppression(
        &self,
        channel: &Channel,
        address: &Address,
        sender: Option<&SenderId>,
    ) -> Result<Option<SuppressionEntry>, CallError> {
        let id = self.0.address_key()?.id(sender, address);
        let record = self.record(&self.0.reader().await?, channel, id).await?;
        Ok(record.and_then(|record| SuppressionEntry::read(id, &record)))
    }

    /// The entries of a channel, its own and those of all senders, in no particular order. `limit`: 1 to 1,000. A
    /// page may be shorter or somewhat longer, and still have a next one; while the list changes, an entry may be
    /// returned twice. Entries that can't be read are left out.
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
        let reader = &self.0.reader().await?;
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
            let reply = reader.ask("HSCAN", args, at.slot).await?.array("page").map_err(fault)?;
            let mut reply = posthaste_protocol::ReplyFields::new(reply);
            cursor = reply.u64("cursor").map_err(fault)?;
            let mut flat = reply.array("entries").map_err(fault)?.into_iter();
            while let (Some(field), Some(record)) = (flat.next(), flat.next()) {
                let id = SuppressionId::from_field(&field.bytes("field").map_err(fault)?);
                let record = SuppressionRecord::decode(&record.bytes("suppression").map_err(fault)?);
                match (id, record) {
                    (Ok(id), Ok(record)) => entries.extend(SuppressionEntry::read(id, &record)),
                    _ => tracing::warn!(
                        event = "suppression.unreadable",
                        "cannot read a suppression; it is left out of the list"
                    ),
                }
            }
            if cursor == 0 || entries.len() >= limit {
                break;
            }
        }
        Ok(SuppressionPage { entries, next: (cursor > 0).then_some(SuppressionCursor(cursor)) })
    }

    /// Raw records of a list, in the order of the ids.
    async fn records(
        &self,
        reader: &Reader,
        channel: &Channel,
        ids: &[SuppressionId],
    ) -> Result<Vec<ReplyValue>, CallError> {
        let at = self.0.partition(PARTITION)?;
        let mut args = Vec::with_capacity(ids.len() + 1);
        args.push(text(at.keys.suppressed(channel)));
        let mut rest: bytes::Bytes = ids.iter().flat_map(SuppressionId::as_bytes).copied().collect();
        args.extend(ids.iter().map(|id| fred::types::Value::Bytes(rest.split_to(id.as_bytes().len()))));
        let records = reader.ask("HMGET", args, at.slot).await?.array("suppressions").map_err(fault)?;
        if records.len() == ids.len() { Ok(records) } else { Err(malformed("suppressions")) }
    }

    async fn record(
        &self,
        reader: &Reader,
        channel: &Channel,
        id: SuppressionId,
    ) -> Result<Option<SuppressionRecord>, CallError> {
        match self.records(reader, channel, &[id]).await?.pop() {
            None | Some(ReplyValue::Nil) => Ok(None),
            Some(record) => {
                let record = record.bytes("suppression").map_err(fault)?;
                SuppressionRecord::decode(&record).map(Some).map_err(fault)
            }
        }
    }

    /// Whether an entry exists, deleted or not.
    pub(super) async fn is_listed(&self, channel: &Channel, id: SuppressionId) -> Result<bool, CallError> {
        let records = self.records(&self.0.reader().await?, channel, &[id]).await?;
        Ok(records.iter().any(|record| !matches!(record, ReplyValue::Nil)))
    }
}
