//! Orders, newest first, merged from the lists of all partitions.

use futures::future::{join_all, try_join_all};
use posthaste_model::OrderId;

use super::order_cursor::{ListPosition, OrderCursor, OrderFilter};
use super::order_summary::{self, OrderSummary};
use super::order_walk::{Entry, Walk};
use crate::epoch_guard::Partition;
use crate::error::CallError;
use crate::reader::Reader;
use crate::store::Store;
use crate::unreadable::UnreadableRecord;

/// Most orders of a page.
const MOST_ORDERS: usize = 500;
/// Approximate number of list entries read for one page.
const MOST_LOOKS: u64 = 5_000;
/// Least number of entries read from one list at once.
const FEWEST: u64 = 8;

/// A page of orders.
#[derive(Debug, Clone)]
pub struct OrderListPage {
    /// The orders, most recently accepted first.
    pub orders: Vec<(OrderId, OrderSummary)>,
    /// Orders of the span that can't be read, and why. They count as orders of the page.
    pub unreadable: Vec<(OrderId, UnreadableRecord)>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<OrderCursor>,
    /// Partitions that could not be reached: their orders are missing.
    pub away: Vec<u16>,
}

impl Store {
    /// Orders that `keep` selects, most recently accepted first; `None` when the cursor does not belong to this list.
    /// `limit`: 1 to 500. Reads about 5,000 orders at most, so a page may be short or empty and still have a next
    /// one. An order that can't be read is listed separately and does not affect the others. Partitions that can't be
    /// reached are listed; if there is nothing else to return, they are the error. If a server's clock went back,
    /// orders of the span may be returned in the order of its list.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn list_orders(
        &self,
        filter: &OrderFilter,
        cursor: Option<&OrderCursor>,
        limit: usize,
        keep: impl Fn(&OrderId, &OrderSummary) -> bool,
    ) -> Result<Option<OrderListPage>, CallError> {
        let partitions = self.0.guard.all();
        let limit = limit.clamp(1, MOST_ORDERS);
        let reader = &self.0.reader().await?;
        // How far each partition has been returned; one that can't be reached stays where it is, or is left out if it
        // was not begun.
        let mut ends = match cursor {
            None => vec![ListPosition::default(); partitions.len()],
            Some(cursor) => match cursor.reported(filter, self.partitions()) {
                None => return Ok(None),
                Some(reported) => reported.to_vec(),
            },
        };
        let start = |(i, at): (usize, _)| {
            let reported = cursor.and_then(|_| ends.get(i).copied());
            async move { Walk::start(reader, at, filter, reported).await }
        };
        let started = join_all(partitions.iter().enumerate().map(start)).await;
        let (mut walks, mut away, mut why) = (Vec::new(), Vec::new(), None);
        for (at, walk) in partitions.iter().zip(started) {
            match walk {
                Ok(walk) => walks.push(walk),
                Err(error) => why = Some(missing(at, error, &mut away)?),
            }
        }
        let share = (2 * limit).div_ceil(partitions.len().max(1)) as u64;
        let (mut orders, mut unreadable, mut looks) = (Vec::new(), Vec::new(), 0);
        while orders.len() + unreadable.len() < limit && looks < MOST_LOOKS {
            let dry = walks.iter_mut().filter(|walk| walk.next().is_none() && !walk.is_read());
            let read = dry.map(|walk| async { (walk.at, walk.read(share.max(FEWEST)).await) });
            for (at, read) in join_all(read).await {
                match read {
                    Ok(looked) => looks += looked,
                    Err(error) => why = Some(missing(at, error, &mut away)?),
                }
            }
            walks.retain(|walk| {
                let stays = !away.contains(&walk.at.number);
                if !stays && let Some(end) = ends.get_mut(usize::from(walk.at.number)) {
                    *end = walk.reported();
                }
                stays
            });
            let taken = take(&mut walks, limit - orders.len() - unreadable.len());
            let done = taken.is_empty() && walks.iter().all(Walk::is_read);
            let summaries = try_join_all(taken.iter().map(|(at, entry)| summary(reader, at, entry))).await?;
            for ((_, entry), summary) in taken.into_iter().zip(summaries) {
                match summary {
                    Ok(Some(summary)) if keep(&entry.order_id, &summary) => {
                        orders.push((entry.order_id, summary))
                    }
                    Ok(_) => {}
                    Err(why) => unreadable.push((entry.order_id, why)),
                }
            }
            if done {
                break;
            }
        }
        let nothing = orders.is_empty() && unreadable.is_empty();
        match why {
            // There is nothing to return except the partitions that can't be reached.
            Some(why) if nothing && walks.iter().all(Walk::is_read) => return Err(why),
            _ => {}
        }
        for walk in &walks {
            if let Some(end) = ends.get_mut(usize::from(walk.at.number)) {
                *end = walk.reported();
            }
        }
        away.sort_unstable();
        let next = OrderCursor::behind(filter, ends);
        Ok(Some(OrderListPage { orders, unreadable, next, away }))
    }
}

/// A partition that can't be reached now is missing; any other error ends the page.
fn missing(at: &Partition, error: CallError, away: &mut Vec<u16>) -> Result<CallError, CallError> {
    match error {
        error @ (CallError::NoReply(_) | CallError::Retryable { .. }) => {
            away.push(at.number);
            Ok(error)
        }
        error => Err(error),
    }
}

/// Takes the newest orders of all walks, as long as the next entry of each is known.
fn take<'a>(walks: &mut [Walk<'a>], most: usize) -> Vec<(&'a Partition, Entry)> {
    let mut taken = Vec::new();
    while taken.len() < most && walks.iter().all(|walk| walk.next().is_some() || walk.is_read()) {
        let newest = walks.iter_mut().rev().max_by_key(|walk| walk.next().map(|entry| entry.accepted));
        let Some((walk, entry)) = newest.and_then(|walk| walk.take().map(|entry| (walk, entry))) else {
            break;
        };
        taken.push((walk.at, entry));
    }
    taken
}

/// `None` when the order is gone; an error when it can't be read.
async fn summary(
    reader: &Reader,
    at: &Partition,
    entry: &Entry,
) -> Result<Result<Option<OrderSummary>, UnreadableRecord>, CallError> {
    let head = match &entry.head {
        Ok(head) => head,
        Err(why) => return Ok(Err(*why)),
    };
    match order_summary::summary(reader, at, &entry.order_id, head, true).await {
        Ok(summary) => Ok(Ok(summary)),
        Err(error) => Ok(Err(error.unreadable().ok_or(error)?)),
    }
}
