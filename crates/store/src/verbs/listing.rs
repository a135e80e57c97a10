//! Orders, newest first, merged from the lists of all partitions.

use futures::future::{join_all, try_join_all};
use posthaste_model::Suffix;

use super::glance::Glance;
use super::order_cursor::{OrderCursor, OrderFilter, Told};
use super::order_walk::{Entry, Walk};
use crate::error::{CallError, Unreadable};
use crate::guard::Partition;
use crate::node::Node;
use crate::store::{Inner, Store};

/// Orders of a page at most.
const MOST_ORDERS: usize = 500;
/// Entries of lists looked at for one page, about.
const MOST_LOOKS: u64 = 5_000;
/// Entries read from one list at once, at least.
const FEWEST: u64 = 8;

/// Some orders.
#[derive(Debug, Clone)]
pub struct OrderPage {
    /// The orders, newest acceptance first.
    pub orders: Vec<(Suffix, Glance)>,
    /// Orders of the span that can't be read, and why. They count as orders of the page.
    pub unreadable: Vec<(Suffix, Unreadable)>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<OrderCursor>,
    /// Partitions that could not be asked: their orders are missing.
    pub away: Vec<u16>,
}

impl Store {
    /// Orders that `keep` wants, newest acceptance first; `None` when the cursor is not one of this list. `limit`: 1 to 500.
    /// Looks at some 5,000 orders at most, so a page may be short, or empty, and still have a next one. An order that can't be
    /// read is named apart, and stops no other; partitions that can't be asked are named, and with nothing else to tell they
    /// are the error. Where a server's clock went back, orders of the span may be told in the order of its list.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn list_orders(
        &self,
        filter: &OrderFilter,
        cursor: Option<&OrderCursor>,
        limit: usize,
        keep: impl Fn(&Suffix, &Glance) -> bool,
    ) -> Result<Option<OrderPage>, CallError> {
        let partitions = self.0.guard.all();
        let limit = limit.clamp(1, MOST_ORDERS);
        let node = &self.0.reader().await?;
        // How far each is told; one that can't be asked stays where it is, or is left out when it was not begun.
        let mut ends = match cursor {
            None => vec![Told::default(); partitions.len()],
            Some(cursor) => match cursor.told(filter, self.partitions()) {
                None => return Ok(None),
                Some(told) => told.to_vec(),
            },
        };
        let start = |(i, at): (usize, _)| {
            let told = cursor.and_then(|_| ends.get(i).copied());
            async move { Walk::start(node, at, filter, told).await }
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
                    *end = walk.told();
                }
                stays
            });
            let taken = take(&mut walks, limit - orders.len() - unreadable.len());
            let done = taken.is_empty() && walks.iter().all(Walk::is_read);
            let glances = try_join_all(taken.iter().map(|(at, entry)| glance(node, at, entry))).await?;
            for ((_, entry), glance) in taken.into_iter().zip(glances) {
                match glance {
                    Ok(Some(glance)) if keep(&entry.suffix, &glance) => orders.push((entry.suffix, glance)),
                    Ok(_) => {}
                    Err(why) => unreadable.push((entry.suffix, why)),
                }
            }
            if done {
                break;
            }
        }
        let nothing = orders.is_empty() && unreadable.is_empty();
        match why {
            // There is nothing to tell but of what can't be asked.
            Some(why) if nothing && walks.iter().all(Walk::is_read) => return Err(why),
            _ => {}
        }
        for walk in &walks {
            if let Some(end) = ends.get_mut(usize::from(walk.at.number)) {
                *end = walk.told();
            }
        }
        away.sort_unstable();
        let next = OrderCursor::behind(filter, ends);
        Ok(Some(OrderPage { orders, unreadable, next, away }))
    }
}

/// A partition that can't be asked now is missing; any other error ends the page.
fn missing(at: &Partition, error: CallError, away: &mut Vec<u16>) -> Result<CallError, CallError> {
    match error {
        error @ (CallError::Away(_) | CallError::Later { .. }) => {
            away.push(at.number);
            Ok(error)
        }
        error => Err(error),
    }
}

/// Takes the newest orders of all walks, as long as it is known of each what comes next.
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

/// `None` when the order is gone; why, when it can't be read.
async fn glance(
    node: &Node,
    at: &Partition,
    entry: &Entry,
) -> Result<Result<Option<Glance>, Unreadable>, CallError> {
    let head = match &entry.head {
        Ok(head) => head,
        Err(why) => return Ok(Err(*why)),
    };
    match Inner::glance(node, at, &entry.suffix, head, true).await {
        Ok(glance) => Ok(Ok(glance)),
        Err(error) => Ok(Err(error.unreadable().ok_or(error)?)),
    }
}
