//! The rows of an order with their outcomes, page by page, in bounded memory.

use std::fmt;
use std::str::FromStr;

use futures::future::{join_all, try_join};
use posthaste_model::{Channel, Counters, Member, PARCEL_ROWS, Row, State, Suffix, UnixMs};
use posthaste_protocol::record::{Outcomes, RowOutcome};

use super::couriers::is_present;
use super::glance::Glance;
use super::waits::{WaitsFor, waits_for};
use crate::error::{CallError, Unreadable};
use crate::store::{Inner, Store};

/// Rows of a page at most.
const MOST_ROWS: usize = 5_000;
/// Parcels looked at for one page.
const MOST_LOOKS: u32 = 40;
/// Outcomes of so many parcels are fetched together.
const TOGETHER: u32 = 8;

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct InvalidCursor;

/// Which rows of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowFilter {
    /// Of one channel; `None`: of all.
    pub channel: Option<Channel>,
    /// In one of these states; empty: in any. Unknown rows are found whether they are to be resolved or not.
    pub states: Vec<State>,
}

impl RowFilter {
    fn wants(&self, state: State) -> bool {
        self.states.is_empty() || self.states.iter().any(|wanted| wanted.word() == state.word())
    }

    /// Whether a channel with these counters has a row for us.
    fn wants_some(&self, channel: &Channel, counters: &Counters) -> bool {
        self.channel.as_ref().is_none_or(|wanted| wanted == channel)
            && State::ALL.into_iter().any(|state| counters[state] > 0 && self.wants(state))
    }
}

/// Where a page begins: the position of a channel in the head of its order, and the row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCursor {
    channel: usize,
    row: u32,
}

impl fmt::Display for RowCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.channel, self.row)
    }
}

impl FromStr for RowCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (channel, row) = text.split_once('-').ok_or(InvalidCursor)?;
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(InvalidCursor)
        };
        let channel = usize::try_from(number(channel)?).map_err(|_| InvalidCursor)?;
        Ok(Self { channel, row: number(row)? })
    }
}

/// A row and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRow {
    /// Its channel.
    pub channel: Channel,
    /// The row.
    pub row: Row,
    /// What became of it.
    pub outcome: RowOutcome,
    /// What it waits for; `None` when it is final.
    pub waits_for: Option<WaitsFor>,
}

/// Rows of an order that can't be told: those of one parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRows {
    /// Their channel.
    pub channel: Channel,
    /// The number of the parcel on its channel, as what is parked is named.
    pub parcel: u32,
    /// How many there are: of all states where their states can't be read, else those that were asked for.
    pub rows: u32,
    /// Why.
    pub why: Unreadable,
}

/// Some rows of an order.
#[derive(Debug, Clone)]
pub struct RowPage {
    /// The order, as it was just before.
    pub glance: Glance,
    /// The rows, channel by channel as in the head, in the order of acceptance.
    pub rows: Vec<ListedRow>,
    /// Rows of the same span that can't be read, whatever states were asked for. They do not count as rows of the page.
    pub unreadable: Vec<UnreadableRows>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<RowCursor>,
}

/// A page on its way.
struct Page<'a> {
    glance: &'a Glance,
    filter: &'a RowFilter,
    limit: usize,
    now: UnixMs,
    /// Whether each channel of the order has a courier.
    couriers: Vec<bool>,
    rows: Vec<ListedRow>,
    unreadable: Vec<UnreadableRows>,
}

impl Page<'_> {
    /// Parcels whose outcomes are worth fetching together.
    fn parcels_wanted(&self) -> u32 {
        let room = u32::try_from(self.limit - self.rows.len()).unwrap_or(u32::MAX);
        if self.filter.states.is_empty() { (room / PARCEL_ROWS + 1).min(TOGETHER) } else { TOGETHER }
    }

    /// Positions in a parcel of the rows that are wanted, from one on.
    fn wanted(&self, outcomes: &Outcomes, from: usize) -> Vec<(usize, RowOutcome)> {
        let rows = outcomes.rows().enumerate().skip(from);
        rows.filter(|(_, outcome)| self.filter.wants(outcome.state)).collect()
    }

    /// Notes rows that can't be read; any other error ends the page.
    fn pass_over(
        &mut self,
        channel: usize,
        parcel: u32,
        rows: usize,
        error: CallError,
    ) -> Result<(), CallError> {
        let why = error.unreadable().ok_or(error)?;
        let channel = self.glance.head.channels[channel].0.clone();
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.unreadable.push(UnreadableRows { channel, parcel, rows, why });
        Ok(())
    }

    /// Takes wanted rows of a parcel that begins at row `first` of its channel; where the next page begins when this one
    /// is full.
    fn take(
        &mut self,
        channel: usize,
        first: u32,
        wanted: &[(usize, RowOutcome)],
        rows: &[Row],
    ) -> Option<RowCursor> {
        for (at, outcome) in wanted {
            let Some(row) = rows.get(*at) else { continue };
            if self.rows.len() == self.limit {
                return Some(RowCursor { channel, row: first + u32::try_from(*at).unwrap_or(0) });
            }
            let courier = self.couriers.get(channel).copied().unwrap_or(false);
            self.rows.push(ListedRow {
                channel: self.glance.head.channels[channel].0.clone(),
                row: row.clone(),
                outcome: *outcome,
                waits_for: waits_for(outcome, self.glance, courier, self.now),
            });
        }
        None
    }
}

impl Store {
    /// Rows of an order with their outcomes; `None` when there is no such order. `limit`: 1 to 5,000. Looks at 40 parcels
    /// at most, so a page may be short and still have a next one. A parcel of a big order that can't be read is named, and its
    /// neighbours are told all the same.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when the head of the order can't be read, or the only record of a small one.
    pub async fn recipients(
        &self,
        suffix: &Suffix,
        filter: &RowFilter,
        cursor: Option<&RowCursor>,
        limit: usize,
    ) -> Result<Option<RowPage>, CallError> {
        let p = self.partition_of(suffix);
        let node = &self.0.reader().await?;
        let Some(head) = Inner::head(node, self.0.partition(p)?, suffix).await? else { return Ok(None) };
        let (glance, inline) = if head.inline {
            let Some(view) = self.load_order(p, suffix).await? else { return Ok(None) };
            (Glance::from(&view), view.inline)
        } else {
            let at = self.0.partition(p)?;
            let Some(glance) = Inner::glance(node, at, suffix, &head, true).await? else { return Ok(None) };
            (glance, None)
        };
        let (now, seen) = try_join(self.server_time(), self.channels(p)).await?;
        let present = |channel: &Channel| seen.iter().any(|(c, at)| c == channel && is_present(*at, now));
        let mut page = Page {
            couriers: glance.head.channels.iter().map(|(channel, _)| present(channel)).collect(),
            limit: limit.clamp(1, MOST_ROWS),
            rows: Vec::new(),
            unreadable: Vec::new(),
            glance: &glance,
            filter,
            now,
        };
        let from = cursor.copied().unwrap_or_default();
        let next = match inline {
            Some((inline, outcomes)) => {
                let holder = glance.head.channels.iter().position(|(_, rows)| *rows > 0).unwrap_or(0);
                let wants = filter.wants_some(&glance.head.channels[holder].0, &glance.counters[holder].1);
                if wants && from.channel <= holder {
                    let first = if from.channel == holder { from.row } else { 0 };
                    let wanted = page.wanted(&outcomes, usize::try_from(first).unwrap_or(usize::MAX));
                    page.take(holder, 0, &wanted, &inline.rows)
                } else {
                    None
                }
            }
            None => self.big(p, suffix, &mut page, from).await?,
        };
        let Page { rows, unreadable, .. } = page;
        Ok(Some(RowPage { rows, unreadable, next, glance }))
    }

    /// Fills a page from the parcels of a big order; where the next one begins.
    async fn big(
        &self,
        p: u16,
        suffix: &Suffix,
        page: &mut Page<'_>,
        from: RowCursor,
    ) -> Result<Option<RowCursor>, CallError> {
        let glance = page.glance;
        let (head, ended) = (&glance.head, glance.ended_unrung());
        let mut looks = 0;
        for (at, (channel, counters)) in glance.counters.iter().enumerate().skip(from.channel) {
            if !page.filter.wants_some(channel, counters) {
                continue;
            }
            let first_row = if at == from.channel { from.row } else { 0 };
            let parcels = head.parcels(channel);
            let mut n = first_row / PARCEL_ROWS;
            while n < parcels {
                if looks >= MOST_LOOKS {
                    return Ok(Some(RowCursor { channel: at, row: n * PARCEL_ROWS }));
                }
                let group = n..parcels.min(n + page.parcels_wanted()).min(n + MOST_LOOKS - looks);
                looks += group.end - group.start;
                let members: Vec<Member> =
                    group.clone().map(|number| Member { suffix: suffix.clone(), number }).collect();
                let outcomes =
                    join_all(members.iter().map(|m| self.load_outcomes(p, channel, m, head, ended)));
                for (member, outcomes) in members.iter().zip(outcomes.await) {
                    let first = member.number * PARCEL_ROWS;
                    let skipped = usize::try_from(first_row.saturating_sub(first)).unwrap_or(usize::MAX);
                    let full = page.rows.len() == page.limit;
                    let here = Some(RowCursor { channel: at, row: first });
                    let outcomes = match outcomes {
                        Ok(outcomes) => outcomes,
                        Err(_) if full => return Ok(here),
                        Err(error) => {
                            let rows = head.parcel_rows(channel, member.number) as usize;
                            page.pass_over(at, member.number, rows.saturating_sub(skipped), error)?;
                            continue;
                        }
                    };
                    let wanted = page.wanted(&outcomes, skipped);
                    if wanted.is_empty() {
                        continue;
                    }
                    if full {
                        return Ok(here);
                    }
                    let rows = match self.load_rows(p, channel, member).await {
                        Ok(rows) => rows,
                        Err(error) => {
                            page.pass_over(at, member.number, wanted.len(), error)?;
                            continue;
                        }
                    };
                    if let Some(next) = page.take(at, first, &wanted, &rows) {
                        return Ok(Some(next));
                    }
                }
                n = group.end;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = RowCursor { channel: 2, row: 1_500 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "-", "1", "1-", "-1", "+1-2", "1-+2", "1-2-3", "1-99999999999", "x-1", " 1-2"] {
            assert_eq!(bad.parse::<RowCursor>(), Err(InvalidCursor), "{bad:?}");
        }
    }
}
