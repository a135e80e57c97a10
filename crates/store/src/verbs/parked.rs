//! Parked records, which can't be read: listed, put back for another try, or ended by an operator.

use posthaste_model::{Channel, OrderId, UnixMs};
use posthaste_protocol::scripts::ParkedName;
use posthaste_protocol::scripts::fail_order::{FailOrder, FailedOrder};
use posthaste_protocol::scripts::fail_parcel::{FailParcel, FailedParcel};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::release_parked::ReleaseParked;
use posthaste_protocol::scripts::repair_indexes::RepairedIndexes;

use super::order_summary::{RawSummary, look};
use super::parked_cursor::ParkedCursor;
use crate::command::text;
use crate::epoch_guard::Partition;
use crate::error::{CallError, InvalidReply};
use crate::reader::Reader;
use crate::store::Store;

/// Most entries of a page.
const MOST: usize = 500;
/// Most lists read for one page.
const MOST_LISTS: usize = 2_000;
/// Entries read at once, and removed from a list by one call.
const AT_ONCE: usize = 200;
/// Entries of one list looked at to find those of one order.
const MOST_LOOKS: u64 = 200_000;
/// Most calls that end one order or put it back.
const MOST_CALLS: usize = 100_000;

/// A parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEntry {
    /// An order, or a parcel of one.
    pub name: ParkedName,
    /// The reason as a stable word: `type`, `head`, `counters`, `parcel_id`, `outcomes`, `content`, `deliveries`;
    /// empty when it was not recorded.
    pub why: String,
    /// When it was parked.
    pub since: UnixMs,
}

/// A page of parked records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedPage {
    /// By partition and channel, the longest parked first.
    pub entries: Vec<ParkedEntry>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<ParkedCursor>,
    /// Partitions that could not be reached: their parked records are missing.
    pub away: Vec<u16>,
}

/// The result of ending a parked order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedFailed {
    /// This many deliveries were ended: failed, or unknown if they may have been sent. The order goes on, or is
    /// finished.
    Deliveries(u64),
    /// Nothing of the order could be read: all of it was removed, and a note was left in its place.
    Order,
    /// A courier is working on it.
    Busy,
    /// It has a later version: only a newer program can read it.
    Newer,
}

fn fault(malformed: posthaste_protocol::Malformed) -> CallError {
    CallError::InvalidReply(InvalidReply::Malformed(malformed))
}

/// The lists of a partition: what they contain, and their keys.
fn lists(at: &Partition, channels: Vec<Channel>) -> Vec<(Option<Channel>, String)> {
    let of_channels = channels.into_iter().map(|channel| {
        let key = at.keys.parked(&channel);
        (Some(channel), key)
    });
    std::iter::once((None, at.keys.parked_orders())).chain(of_channels).collect()
}

/// Entries of one list from a rank on, and how many were read.
async fn parked(
    reader: &Reader,
    at: &Partition,
    (channel, key): &(Option<Channel>, String),
    from: u64,
    count: usize,
) -> Result<(Vec<ParkedEntry>, usize), CallError> {
    let to = from + count as u64 - 1;
    let args = vec![text(key.clone()), text(from.to_string()), text(to.to_string()), "WITHSCORES".into()];
    let flat = match reader.ask("ZRANGE", args, at.slot).await.map_err(CallError::of_record) {
        // A list of another type contains nothing that could be listed.
        Err(error) if error.unreadable().is_some() => return Ok((Vec::new(), 0)),
        flat => flat?.array("parked").map_err(fault)?,
    };
    let looked = flat.len() / 2;
    let mut flat = flat.into_iter();
    let mut entries = Vec::new();
    while let (Some(name), Some(score)) = (flat.next(), flat.next()) {
        let Ok(name) = name.text("parked") else { continue };
        let name = match channel {
            Some(channel) => ParkedName::read(&format!("{channel}:{name}")),
            None => name.parse().ok().map(ParkedName::Order),
        };
        let Some(name) = name else { continue };
        let since = UnixMs(score.text("since").ok().and_then(|s| s.parse().ok()).unwrap_or(0));
        entries.push(ParkedEntry { name, why: String::new(), since });
    }
    Ok((entries, looked))
}

/// Adds the reasons to entries.
async fn reasons(reader: &Reader, at: &Partition, entries: &mut [ParkedEntry]) -> Result<(), CallError> {
    for entries in entries.chunks_mut(AT_ONCE) {
        let mut args = vec![text(at.keys.parked_why())];
        args.extend(entries.iter().map(|entry| text(entry.name.text())));
        let reported = match reader.ask("HMGET", args, at.slot).await.map_err(CallError::of_record) {
            Err(error) if error.unreadable().is_some() => return Ok(()),
            reported => reported?.array("reasons").map_err(fault)?,
        };
        for (entry, why) in entries.iter_mut().zip(reported) {
            entry.why = why.text("reason").unwrap_or_default();
        }
    }
    Ok(())
}

impl Store {
    /// Parks parcels that their holder can't read, 200 at most. Returns for each whether it was parked; false if
    /// another courier holds it.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn park(&self, p: u16, channel: &Channel, parcels: &[ToPark]) -> Result<Vec<bool>, CallError> {
        Ok(self.0.call(p, &Park { keys: &self.0.partition(p)?.keys, channel, parcels }).await?.reply)
    }

    /// Parked records, page by page; `limit` 1 to 500. Channels that are no longer named anywhere are not searched.
    /// Partitions of a cluster that can't be reached are skipped and listed.
    ///
    /// # Errors
    /// A [`CallError`]; `NoReply` or `Retryable` only when no partition can be reached.
    pub async fn list_parked(
        &self,
        cursor: Option<ParkedCursor>,
        limit: usize,
    ) -> Result<ParkedPage, CallError> {
        let all = self.partitions();
        let some = (0..all).any(|p| self.can_ask(p));
        self.parked_until(all, cursor.unwrap_or_default(), limit, some).await
    }

    /// The same for one partition.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn list_parked_of(
        &self,
        p: u16,
        cursor: Option<ParkedCursor>,
        limit: usize,
    ) -> Result<ParkedPage, CallError> {
        let from = cursor.unwrap_or(ParkedCursor { partition: p, ..ParkedCursor::default() });
        self.parked_until(p.saturating_add(1), from, limit, false).await
    }

    /// Parked records from a place on, in the partitions below `end`. `passes`: skip partitions that can't be
    /// reached.
    async fn parked_until(
        &self,
        end: u16,
        mut from: ParkedCursor,
        limit: usize,
        passes: bool,
    ) -> Result<ParkedPage, CallError> {
        let reader = &self.0.reader().await?;
        let mut page = ParkedPage { entries: Vec::new(), next: None, away: Vec::new() };
        let (limit, mut looks) = (limit.clamp(1, MOST), 0);
        while from.partition < end.min(self.partitions()) {
            match self.parked_in(reader, &mut from, limit, &mut looks, &mut page.entries).await {
                Ok(true) => {}
                Ok(false) => {
                    page.next = Some(from);
                    return Ok(page);
                }
                Err(CallError::NoReply(_) | CallError::Retryable { .. })
                    if passes && !self.can_ask(from.partition) =>
                {
                    page.away.push(from.partition);
                }
                Err(error) => return Err(error),
            }
            from = ParkedCursor { partition: from.partition + 1, list: 0, rank: 0 };
        }
        Ok(page)
    }

    /// Adds the parked records of one partition, from a place on; false when the page is full, or enough lists were
    /// read.
    async fn parked_in(
        &self,
        reader: &Reader,
        from: &mut ParkedCursor,
        limit: usize,
        looks: &mut usize,
        entries: &mut Vec<ParkedEntry>,
    ) -> Result<bool, CallError> {
        let at = self.0.partition(from.partition)?;
        let channels = self.channels(from.partition).await?.into_iter().map(|(channel, _)| channel).collect();
        for list in lists(at, channels).iter().skip(from.list) {
            loop {
                let room = limit - entries.len();
                if room == 0 || *looks == MOST_LISTS {
                    return Ok(false);
                }
                let (mut some, looked) = parked(reader, at, list, from.rank, room).await?;
                *looks += 1;
                reasons(reader, at, &mut some).await?;
                entries.append(&mut some);
                from.rank += looked as u64;
                if looked < room {
                    break;
                }
            }
            *from = ParkedCursor { list: from.list + 1, rank: 0, ..*from };
        }
        Ok(true)
    }

    /// How many entries the lists of a partition contain.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn count_parked(&self, p: u16) -> Result<u64, CallError> {
        let at = self.0.partition(p)?;
        let channels = self.channels(p).await?.into_iter().map(|(channel, _)| channel).collect();
        let reader = &self.0.reader().await?;
        let mut count = 0;
        for (_, key) in lists(at, channels) {
            match reader.ask("ZCARD", vec![text(key)], at.slot).await.map_err(CallError::of_record) {
                Err(error) if error.unreadable().is_some() => {}
                found => count += found?.u64("parked").map_err(fault)?,
            }
        }
        Ok(count)
    }

    /// The parked records of one order.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn parked_of(&self, order_id: &OrderId) -> Result<Vec<ParkedEntry>, CallError> {
        let p = self.partition_of(order_id);
        let at = self.0.partition(p)?;
        let channels = self.channels(p).await?.into_iter().map(|(channel, _)| channel).collect();
        let reader = &self.0.reader().await?;
        let mut found = Vec::new();
        for list in lists(at, channels) {
            let mut rank = 0;
            while rank < MOST_LOOKS {
                let (some, looked) = parked(reader, at, &list, rank, AT_ONCE).await?;
                found.extend(some.into_iter().filter(|entry| entry.name.order_id() == order_id));
                rank += looked as u64;
                if looked < AT_ONCE {
                    break;
                }
            }
        }
        reasons(reader, at, &mut found).await?;
        Ok(found)
    }

    /// Removes these entries of one order from their lists.
    async fn unlist_parked(&self, p: u16, entries: &[ParkedEntry]) -> Result<u64, CallError> {
        let keys = &self.0.partition(p)?.keys;
        let mut taken = 0;
        let mut by_channel: std::collections::BTreeMap<Option<&Channel>, Vec<String>> = Default::default();
        for entry in entries {
            let (channel, name) = match &entry.name {
                ParkedName::Parcel { channel, parcel_id } => (Some(channel), parcel_id.to_string()),
                ParkedName::Order(order_id) => (None, order_id.to_string()),
            };
            by_channel.entry(channel).or_default().push(name);
        }
        for (channel, names) in by_channel {
            for names in names.chunks(AT_ONCE) {
                taken += self.0.call(p, &ReleaseParked { keys, channel, names }).await?.reply;
            }
        }
        Ok(taken)
    }

    /// Puts the parked records of an order back into the indexes that its records require, for another try; returns
    /// how many entries. Records that still can't be read are parked again when they are next read.
    ///
    /// # Errors
    /// A [`CallError`]. It may be repeated.
    pub async fn release_parked(&self, order_id: &OrderId) -> Result<u64, CallError> {
        let p = self.partition_of(order_id);
        let entries = self.parked_of(order_id).await?;
        let before = self.0.before_confirm(p);
        let taken = self.unlist_parked(p, &entries).await?;
        let reader = &self.0.reader().await?;
        match look(reader, self.0.partition(p)?, order_id).await {
            Ok(RawSummary::Head(head)) => {
                for (channel, _) in head.channels.iter().filter(|(_, deliveries)| *deliveries > 0) {
                    let mut from = 0;
                    for _ in 0..MOST_CALLS {
                        match self.repair_indexes(p, channel, order_id, from).await?.reply {
                            RepairedIndexes::Ok { next: Some(next), .. } => from = next,
                            RepairedIndexes::Ok { .. } | RepairedIndexes::Unreadable => break,
                        }
                    }
                }
            }
            Ok(_) => {}
            // The next scan finds it and parks it again.
            Err(error) if error.unreadable().is_some() => {}
            Err(error) => return Err(error),
        }
        self.0.confirmed(p, before).await?;
        Ok(taken)
    }

    /// Ends the parked records of an order; `None` when there are none.
    ///
    /// # Errors
    /// A [`CallError`]. It may be repeated.
    pub async fn fail_parked(&self, order_id: &OrderId) -> Result<Option<ParkedFailed>, CallError> {
        let p = self.partition_of(order_id);
        let entries = self.parked_of(order_id).await?;
        if entries.is_empty() {
            return Ok(None);
        }
        let before = self.0.before_confirm(p);
        let failed = self.fail_entries(p, order_id, &entries).await?;
        self.0.confirmed(p, before).await?;
        Ok(Some(failed))
    }

    async fn fail_entries(
        &self,
        p: u16,
        order_id: &OrderId,
        entries: &[ParkedEntry],
    ) -> Result<ParkedFailed, CallError> {
        let keys = &self.0.partition(p)?.keys;
        let (mut deliveries, mut busy, mut newer, mut forced) = (0, false, false, false);
        for entry in entries {
            let ParkedName::Parcel { channel, parcel_id } = &entry.name else { continue };
            match self.0.call(p, &FailParcel { keys, channel, parcel_id }).await?.reply {
                FailedParcel::Ended(ended) => deliveries += ended,
                FailedParcel::NotParked => {}
                FailedParcel::Leased => busy = true,
                FailedParcel::NewerVersion => newer = true,
                FailedParcel::WholeOrderOnly => forced = true,
            }
        }
        // An order with a parcel of a later version is not ended as a whole: a newer program can read that parcel.
        if newer {
            return Ok(if deliveries == 0 {
                ParkedFailed::Newer
            } else {
                ParkedFailed::Deliveries(deliveries)
            });
        }
        let whole = entries.iter().any(|entry| matches!(entry.name, ParkedName::Order(_)));
        if whole || forced {
            let mut from: Option<(String, u64)> = None;
            for _ in 0..MOST_CALLS {
                let at = from.as_ref().map(|(channel, parcel)| (channel.as_str(), *parcel));
                match self.0.call(p, &FailOrder { keys, order_id, from: at, forced }).await?.reply {
                    FailedOrder::More(channel, parcel) => from = Some((channel, parcel)),
                    FailedOrder::Ended | FailedOrder::AlreadyDone | FailedOrder::NotFound => {
                        // Its parked parcels no longer have a record.
                        self.unlist_parked(p, entries).await?;
                        return Ok(ParkedFailed::Order);
                    }
                    FailedOrder::NewerVersion => return Ok(ParkedFailed::Newer),
                    FailedOrder::Readable => {
                        // Its head can be read again, so it need not be ended.
                        self.release_parked(order_id).await?;
                        break;
                    }
                }
            }
        }
        Ok(if busy && deliveries == 0 { ParkedFailed::Busy } else { ParkedFailed::Deliveries(deliveries) })
    }
}
