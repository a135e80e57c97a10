//! One partition's list of orders, from its newest entry down.

use std::collections::VecDeque;

use futures::future::try_join_all;
use posthaste_model::{Suffix, UnixMs};
use posthaste_protocol::record::Head;

use super::glance::Looked;
use super::lists::passed_over;
use super::order_cursor::{OrderFilter, Told, mark_of};
use crate::error::{CallError, Fault, Unreadable};
use crate::guard::Partition;
use crate::node::{Node, text};
use crate::store::Inner;

/// Entries looked at around one that is gone, when a moment is searched for.
const AROUND: u64 = 50;

/// An order found.
#[derive(Debug)]
pub(super) struct Entry {
    at: u64,
    pub(super) suffix: Suffix,
    /// When it was accepted; of one that can't be read: as the one above it.
    pub(super) accepted: UnixMs,
    pub(super) head: Result<Head, Unreadable>,
}

/// A name in a list of orders.
struct Name {
    text: String,
    /// `None`: it is none of ours.
    suffix: Option<Suffix>,
}

/// What an entry of a list turned out to be.
enum Seen {
    Head(Head),
    Unreadable(Unreadable),
    /// Gone, or none of ours.
    Nothing,
}

/// A walk down the list of one partition.
pub(super) struct Walk<'a> {
    node: &'a Node,
    pub(super) at: &'a Partition,
    filter: &'a OrderFilter,
    list: String,
    /// Down to where everything was taken.
    told: Told,
    /// Down to where everything was read.
    read: Told,
    found: VecDeque<Entry>,
    /// The acceptance of the last entry read.
    above: UnixMs,
}

impl<'a> Walk<'a> {
    /// A walk that goes on where another one stopped; `None`: from the newest order the filter wants.
    pub(super) async fn start(
        node: &'a Node,
        at: &'a Partition,
        filter: &'a OrderFilter,
        told: Option<Told>,
    ) -> Result<Self, CallError> {
        let list = filter.sender.as_ref().map_or_else(|| at.keys.orders(), |s| at.keys.sender(s.as_str()));
        let mut walk = Self {
            node,
            at,
            filter,
            list,
            told: Told::default(),
            read: Told::default(),
            found: VecDeque::new(),
            above: UnixMs(filter.to.map_or(u64::MAX, |to| to.0.saturating_sub(1))),
        };
        let told = match told {
            Some(told) => told,
            None => {
                let length = node.ask("LLEN", vec![text(walk.list.clone())], at.slot).await?;
                let length = length.u64("length").map_err(|m| CallError::Fault(Fault::Malformed(m)))?;
                let down_to = match filter.to {
                    Some(to) => walk.first_from(to, length).await?,
                    None => length,
                };
                Told { down_to, mark: None }
            }
        };
        (walk.told, walk.read) = (told, told);
        Ok(walk)
    }

    /// Whether nothing is left to be read.
    pub(super) fn is_read(&self) -> bool {
        self.read.down_to == 0
    }

    /// The next order, left where it is.
    pub(super) fn next(&self) -> Option<&Entry> {
        self.found.front()
    }

    /// Takes the next order.
    pub(super) fn take(&mut self) -> Option<Entry> {
        let entry = self.found.pop_front()?;
        self.told = Told { down_to: entry.at, mark: Some(mark_of(entry.suffix.as_str())) };
        Some(entry)
    }

    /// How far it was told.
    pub(super) fn told(&self) -> Told {
        if self.found.is_empty() { self.read } else { self.told }
    }

    /// Reads so many entries more; answers how many were looked at.
    pub(super) async fn read(&mut self, count: u64) -> Result<u64, CallError> {
        let top = self.read.down_to;
        let low = top.saturating_sub(count);
        let mark = self.read.mark.take();
        // With a mark, the entry that bears it is read too: it tells whether the list lost its oldest entries since.
        let mut names = self.names(low, if mark.is_some() { top } else { top.saturating_sub(1) }).await?;
        let looked = names.len() as u64;
        if let Some(mark) = mark {
            match names.iter().rposition(|name| mark_of(&name.text) == mark) {
                Some(place) => names.truncate(place),
                None => {
                    // Lower still, or gone, and then so is everything older.
                    self.read = Told { down_to: low, mark: (low > 0).then_some(mark) };
                    return Ok(looked);
                }
            }
        }
        let seen = self.heads(&names).await?;
        let lowest = names.first().map(|name| mark_of(&name.text)).or(mark);
        self.read = Told { down_to: low, mark: lowest.filter(|_| low > 0) };
        let entries: Vec<_> = (low..).zip(names).zip(seen).collect();
        for ((at, name), seen) in entries.into_iter().rev() {
            let head = match seen {
                Seen::Head(head) => Ok(head),
                Seen::Unreadable(why) => Err(why),
                Seen::Nothing => continue,
            };
            let Some(suffix) = name.suffix else { continue };
            let accepted = head.as_ref().map_or(self.above, |head| head.accepted);
            if self.filter.from.is_some_and(|from| accepted < from) {
                self.read = Told::default();
                break;
            }
            self.above = accepted;
            if self.filter.to.is_none_or(|to| accepted < to) {
                self.found.push_back(Entry { at, suffix, accepted, head });
            }
        }
        Ok(looked)
    }

    /// Entries from one place to another, both included, oldest first.
    async fn names(&self, low: u64, high: u64) -> Result<Vec<Name>, CallError> {
        let args = vec![text(self.list.clone()), text(low.to_string()), text(high.to_string())];
        let names = self.node.ask("LRANGE", args, self.at.slot).await?;
        let names = names.array("list").map_err(|m| CallError::Fault(Fault::Malformed(m)))?;
        let read = names.into_iter().map(|name| {
            let bytes = name.bytes("suffix").unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let suffix = text.parse().ok();
            if suffix.is_none() {
                passed_over(self.at.number, "orders", "a name in a list of orders is not that of an order");
            }
            Name { text, suffix }
        });
        Ok(read.collect())
    }

    /// What the entries of these names are.
    async fn heads(&self, names: &[Name]) -> Result<Vec<Seen>, CallError> {
        let head = |name: &'_ Name| {
            let suffix = name.suffix.clone();
            async move {
                let Some(suffix) = suffix else { return Ok(Seen::Nothing) };
                Ok(match Inner::look(self.node, self.at, &suffix).await {
                    Ok(Looked::Head(head)) => Seen::Head(head),
                    Ok(Looked::Ended(_)) => Seen::Unreadable(Unreadable::Ended),
                    Ok(Looked::Gone) => Seen::Nothing,
                    Err(error) => Seen::Unreadable(error.unreadable().ok_or(error)?),
                })
            }
        };
        try_join_all(names.iter().map(head)).await
    }

    /// The lowest place from which on all orders were accepted at a moment or later, in a list of this length.
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
                // Of those that are gone nothing is known: they are looked at once more rather than passed over.
                _ => low = middle + 1,
            }
        }
        Ok(high)
    }

    /// Place and acceptance of the newest order between two places that is not gone.
    async fn newest(&self, low: u64, high: u64) -> Result<Option<(u64, UnixMs)>, CallError> {
        let seen = self.heads(&self.names(low, high).await?).await?;
        let there = (low..).zip(seen).filter_map(|(at, seen)| match seen {
            Seen::Head(head) => Some((at, head.accepted)),
            Seen::Unreadable(_) | Seen::Nothing => None,
        });
        Ok(there.max_by_key(|(at, _)| *at))
    }
}
