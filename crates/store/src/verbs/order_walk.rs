//! The list of orders of one partition, from its newest entry down.

use std::collections::VecDeque;

use futures::future::try_join_all;
use posthaste_model::{OrderId, UnixMs};
use posthaste_protocol::record::Head;

use super::lists::passed_over;
use super::order_cursor::{ListPosition, OrderFilter, mark_of};
use super::order_summary::{RawSummary, look};
use crate::command::text;
use crate::epoch_guard::Partition;
use crate::error::{CallError, InvalidReply};
use crate::reader::Reader;
use crate::unreadable::UnreadableRecord;

/// Number of entries read around one that is gone, when searching for a moment.
const AROUND: u64 = 50;

/// An order found.
#[derive(Debug)]
pub(super) struct Entry {
    at: u64,
    pub(super) order_id: OrderId,
    /// When it was accepted; for an unreadable order, the time of the entry above it.
    pub(super) accepted: UnixMs,
    pub(super) head: Result<Head, UnreadableRecord>,
}

/// An entry of a list of orders.
struct Name {
    text: String,
    /// `None`: it is not an order id.
    order_id: Option<OrderId>,
}

/// What an entry of a list refers to.
enum Seen {
    Head(Head),
    Unreadable(UnreadableRecord),
    /// The order is gone, or the name is not an order id.
    Nothing,
}

/// A walk down the list of one partition.
pub(super) struct Walk<'a> {
    reader: &'a Reader,
    pub(super) at: &'a Partition,
    filter: &'a OrderFilter,
    list: String,
    /// How far down everything was taken.
    reported: ListPosition,
    /// How far down everything was read.
    read: ListPosition,
    found: VecDeque<Entry>,
    /// When the order of the last read entry was accepted.
    above: UnixMs,
}

impl<'a> Walk<'a> {
    /// A walk that continues where an earlier one stopped; `None` starts at the newest order that the filter selects.
    pub(super) async fn start(
        reader: &'a Reader,
        at: &'a Partition,
        filter: &'a OrderFilter,
        reported: Option<ListPosition>,
    ) -> Result<Self, CallError> {
        let list = filter.sender.as_ref().map_or_else(|| at.keys.orders(), |s| at.keys.sender(s.as_str()));
        let mut walk = Self {
            reader,
            at,
            filter,
            list,
            reported: ListPosition::default(),
            read: ListPosition::default(),
            found: VecDeque::new(),
            above: UnixMs(filter.to.map_or(u64::MAX, |to| to.0.saturating_sub(1))),
        };
        let reported = match reported {
            Some(reported) => reported,
            None => {
                let length = reader.ask("LLEN", vec![text(walk.list.clone())], at.slot).await?;
                let length =
                    length.u64("length").map_err(|m| CallError::InvalidReply(InvalidReply::Malformed(m)))?;
                let down_to = match filter.to {
                    Some(to) => walk.first_from(to, length).await?,
                    None => length,
                };
                ListPosition { down_to, mark: None }
            }
        };
        (walk.reported, walk.read) = (reported, reported);
        Ok(walk)
    }

    /// Whether nothing is left to read.
    pub(super) fn is_read(&self) -> bool {
        self.read.down_to == 0
    }

    /// The next order, without taking it.
    pub(super) fn next(&self) -> Option<&Entry> {
        self.found.front()
    }

    /// Takes the next order.
    pub(super) fn take(&mut self) -> Option<Entry> {
        let entry = self.found.pop_front()?;
        self.reported = ListPosition { down_to: entry.at, mark: Some(mark_of(entry.order_id.as_str())) };
        Some(entry)
    }

    /// How far the list has been returned.
    pub(super) fn reported(&self) -> ListPosition {
        if self.found.is_empty() { self.read } else { self.reported }
    }

    /// Reads this many more entries, and returns how many were looked at.
    pub(super) async fn read(&mut self, count: u64) -> Result<u64, CallError> {
        let top = self.read.down_to;
        let low = top.saturating_sub(count);
        let mark = self.read.mark.take();
        // With a mark, the entry that has it is read too: it shows whether the list has lost its oldest entries
        // since.
        let mut names = self.names(low, if mark.is_some() { top } else { top.saturating_sub(1) }).await?;
        let looked = names.len() as u64;
        if let Some(mark) = mark {
            match names.iter().rposition(|name| mark_of(&name.text) == mark) {
                Some(place) => names.truncate(place),
                None => {
                    // Further down; or gone, and then everything older is gone as well.
                    self.read = ListPosition { down_to: low, mark: (low > 0).then_some(mark) };
                    return Ok(looked);
                }
            }
        }
        let seen = self.heads(&names).await?;
        let lowest = names.first().map(|name| mark_of(&name.text)).or(mark);
        self.read = ListPosition { down_to: low, mark: lowest.filter(|_| low > 0) };
        let entries: Vec<_> = (low..).zip(names).zip(seen).collect();
        for ((at, name), seen) in entries.into_iter().rev() {
            let head = match seen {
                Seen::Head(head) => Ok(head),
                Seen::Unreadable(why) => Err(why),
                Seen::Nothing => continue,
            };
            let Some(order_id) = name.order_id else { continue };
            let accepted = head.as_ref().map_or(self.above, |head| head.accepted);
            if self.filter.from.is_some_and(|from| accepted < from) {
                self.read = ListPosition::default();
                break;
            }
            self.above = accepted;
            if self.filter.to.is_none_or(|to| accepted < to) {
                self.found.push_back(Entry { at, order_id, accepted, head });
            }
        }
        Ok(looked)
    }

    /// Entries from one place to another, both included, oldest first.
    async fn names(&self, low: u64, high: u64) -> Result<Vec<Name>, CallError> {
        let args = vec![text(self.list.clone()), text(low.to_string()), text(high.to_string())];
        let names = self.reader.ask("LRANGE", args, self.at.slot).await?;
        let names = names.array("list").map_err(|m| CallError::InvalidReply(InvalidReply::Malformed(m)))?;
        let read = names.into_iter().map(|name| {
            let bytes = name.bytes("order id").unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let order_id = text.parse().ok();
            if order_id.is_none() {
                passed_over(
                    self.at.number,
                    "orders",
                    "an entry in a list of orders is not an order id; it is skipped",
                );
            }
            Name { text, order_id }
        });
        Ok(read.collect())
    }

    /// What the entries with these names refer to.
    async fn heads(&self, names: &[Name]) -> Result<Vec<Seen>, CallError> {
        let head = |name: &'_ Name| {
            let order_id = name.order_id.clone();
            async move {
                let Some(order_id) = order_id else { return Ok(Seen::Nothing) };
                Ok(match look(self.reader, self.at, &order_id).await {
                    Ok(RawSummary::Head(head)) => Seen::Head(head),
                    Ok(RawSummary::Ended(_)) => Seen::Unreadable(UnreadableRecord::Ended),
                    Ok(RawSummary::Gone) => Seen::Nothing,
                    Err(error) => Seen::Unreadable(error.unreadable().ok_or(error)?),
                })
            }
        };
        try_join_all(names.iter().map(head)).await
    }

    /// The lowest place from which on all orders were accepted at `moment` or later, in a list of this length.
    async fn first_from(&self, moment: UnixMs, length: u64) -> Result<u64, CallError> {
        let (mut low, mut high) = (0, length);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut found = self.newest(middle, middle).await?;
            if found.is_none() && middle > low {
                found = self.newest(middle.saturating_sub(AROUND).max(low), middle).await?;
            }
            match found {
                Some((at, accepted)) if accepted >= moment => high = at,
                // Nothing is known about orders that are gone: rather read them again than skip any.
                _ => low = middle + 1,
            }
        }
        Ok(high)
    }

    /// Place and time of acceptance of the newest order between two places that still exists.
    async fn newest(&self, low: u64, high: u64) -> Result<Option<(u64, UnixMs)>, CallError> {
        let seen = self.heads(&self.names(low, high).await?).await?;
        let there = (low..).zip(seen).filter_map(|(at, seen)| match seen {
            Seen::Head(head) => Some((at, head.accepted)),
            Seen::Unreadable(_) | Seen::Nothing => None,
        });
        Ok(there.max_by_key(|(at, _)| *at))
    }
}
