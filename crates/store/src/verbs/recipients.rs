//! The deliveries of an order with their outcomes, page by page, in bounded memory.

use std::fmt;
use std::str::FromStr;

use futures::future::{join_all, try_join};
use posthaste_model::{Channel, Counters, Delivery, OrderId, PARCEL_DELIVERIES, ParcelId, State, UnixMs};
use posthaste_protocol::record::{DeliveryRecord, DeliveryRecords};

use super::couriers::{ChannelState, is_present};
use super::order_summary::{self, OrderSummary};
use super::waiting_for::{AtCouriers, WaitingFor, waits_for};
use crate::error::CallError;
use crate::store::Store;
use crate::unreadable::UnreadableRecord;

/// Most deliveries of a page.
const MOST_DELIVERIES: usize = 5_000;
/// Most parcels read for one page.
const MOST_LOOKS: u32 = 40;
/// Outcomes of this many parcels are read together.
const TOGETHER: u32 = 8;

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct InvalidCursor;

/// Filter for the deliveries of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Deliveries of one channel; `None` for all channels.
    pub channel: Option<Channel>,
    /// Deliveries in one of these states; empty for all states. Unknown deliveries are found whether or not they are
    /// still to be resolved.
    pub states: Vec<State>,
    /// Deliveries of the recipient with this id, the sender's own; `None` for all recipients.
    pub recipient: Option<String>,
}

impl DeliveryFilter {
    fn wants(&self, state: State) -> bool {
        self.states.is_empty() || self.states.iter().any(|wanted| wanted.word() == state.word())
    }

    /// Whether a channel with these counters has a matching delivery.
    fn wants_some(&self, channel: &Channel, counters: &Counters) -> bool {
        self.channel.as_ref().is_none_or(|wanted| wanted == channel)
            && State::ALL.into_iter().any(|state| counters[state] > 0 && self.wants(state))
    }
}

/// Where a page begins: the position of a channel in the head of its order, and the delivery on that channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryCursor {
    channel: usize,
    delivery: u32,
}

impl fmt::Display for DeliveryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.channel, self.delivery)
    }
}

impl FromStr for DeliveryCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (channel, delivery) = text.split_once('-').ok_or(InvalidCursor)?;
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(InvalidCursor)
        };
        let channel = usize::try_from(number(channel)?).map_err(|_| InvalidCursor)?;
        Ok(Self { channel, delivery: number(delivery)? })
    }
}

/// A delivery and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    /// Its channel.
    pub channel: Channel,
    /// The delivery.
    pub delivery: Delivery,
    /// Its outcome.
    pub outcome: DeliveryRecord,
    /// What it waits for; `None` when it is final.
    pub waits_for: Option<WaitingFor>,
}

/// Deliveries of one parcel that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableParcelPart {
    /// Their channel.
    pub channel: Channel,
    /// The number of the parcel on its channel, as parked parcels are named.
    pub parcel: u32,
    /// How many there are: all deliveries if their states can't be read, otherwise those that match the filter.
    pub deliveries: u32,
    /// Why.
    pub why: UnreadableRecord,
}

/// A page of deliveries of an order.
#[derive(Debug, Clone)]
pub struct DeliveryPage {
    /// The order, as it was just before.
    pub summary: OrderSummary,
    /// The deliveries, channel by channel as in the head, in order of acceptance.
    pub deliveries: Vec<ListedDelivery>,
    /// Deliveries of the same span that can't be read, whatever states were requested. They do not count as
    /// deliveries of the page.
    pub unreadable: Vec<UnreadableParcelPart>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<DeliveryCursor>,
}

/// A page that is being built.
struct Page<'a> {
    summary: &'a OrderSummary,
    filter: &'a DeliveryFilter,
    limit: usize,
    now: UnixMs,
    /// The couriers of each channel of the order.
    couriers: Vec<AtCouriers>,
    deliveries: Vec<ListedDelivery>,
    unreadable: Vec<UnreadableParcelPart>,
}

impl Page<'_> {
    /// How many parcels' outcomes are worth reading together.
    fn parcels_wanted(&self) -> u32 {
        let room = u32::try_from(self.limit - self.deliveries.len()).unwrap_or(u32::MAX);
        if self.filter.states.is_empty() && self.filter.recipient.is_none() {
            (room / PARCEL_DELIVERIES + 1).min(TOGETHER)
        } else {
            TOGETHER
        }
    }

    /// Positions of the matching deliveries in a parcel, from one position on.
    fn wanted(&self, outcomes: &DeliveryRecords, from: usize) -> Vec<(usize, DeliveryRecord)> {
        let deliveries = outcomes.deliveries().enumerate().skip(from);
        deliveries.filter(|(_, outcome)| self.filter.wants(outcome.state)).collect()
    }

    /// Records deliveries that can't be read; any other error ends the page.
    fn pass_over(
        &mut self,
        channel: usize,
        parcel: u32,
        deliveries: usize,
        error: CallError,
    ) -> Result<(), CallError> {
        let why = error.unreadable().ok_or(error)?;
        let channel = self.summary.head.channels[channel].0.clone();
        let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX);
        self.unreadable.push(UnreadableParcelPart { channel, parcel, deliveries, why });
        Ok(())
    }

    /// Takes matching deliveries of a parcel that begins at delivery `first` of its channel; returns where the next
    /// page begins when this one is full.
    fn take(
        &mut self,
        channel: usize,
        first: u32,
        wanted: &[(usize, DeliveryRecord)],
        deliveries: &[Delivery],
    ) -> Option<DeliveryCursor> {
        for (at, outcome) in wanted {
            let Some(delivery) = deliveries.get(*at) else { continue };
            if self.filter.recipient.as_ref().is_some_and(|wanted| *wanted != delivery.recipient) {
                continue;
            }
            if self.deliveries.len() == self.limit {
                return Some(DeliveryCursor { channel, delivery: first + u32::try_from(*at).unwrap_or(0) });
            }
            let courier = self.couriers.get(channel).copied().unwrap_or(AtCouriers::None);
            self.deliveries.push(ListedDelivery {
                channel: self.summary.head.channels[channel].0.clone(),
                delivery: delivery.clone(),
                outcome: *outcome,
                waits_for: waits_for(outcome, self.summary, courier, self.now),
            });
        }
        None
    }
}

impl Store {
    /// Deliveries of an order with their outcomes; `None` when there is no such order. `limit`: 1 to 5,000. Reads 40
    /// parcels at most, so a page may be short and still have a next one. A parcel of a big order that can't be read
    /// is listed as such; the other parcels are still returned.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the head of the order can't be read, or the only record of a small one.
    pub async fn recipients(
        &self,
        order_id: &OrderId,
        filter: &DeliveryFilter,
        cursor: Option<&DeliveryCursor>,
        limit: usize,
    ) -> Result<Option<DeliveryPage>, CallError> {
        let p = self.partition_of(order_id);
        let reader = &self.0.reader().await?;
        let Some(head) = order_summary::head(reader, self.0.partition(p)?, order_id).await? else {
            return Ok(None);
        };
        let (summary, inline) = if head.inline {
            let Some(view) = self.load_order(p, order_id).await? else { return Ok(None) };
            (OrderSummary::from(&view), view.inline)
        } else {
            let at = self.0.partition(p)?;
            let Some(summary) = order_summary::summary(reader, at, order_id, &head, true).await? else {
                return Ok(None);
            };
            (summary, None)
        };
        let (now, seen) = try_join(self.server_time(), self.channels(p)).await?;
        let reports = self.courier_reports(now).await?;
        let couriers = |channel: &Channel| match ChannelState::of_all(channel, &reports, now) {
            Some(ChannelState::Stopped) => AtCouriers::Stopped,
            _ if seen.iter().any(|(c, at)| c == channel && is_present(*at, now)) => AtCouriers::Some,
            _ => AtCouriers::None,
        };
        let mut page = Page {
            couriers: summary.head.channels.iter().map(|(channel, _)| couriers(channel)).collect(),
            limit: limit.clamp(1, MOST_DELIVERIES),
            deliveries: Vec::new(),
            unreadable: Vec::new(),
            summary: &summary,
            filter,
            now,
        };
        let from = cursor.copied().unwrap_or_default();
        let next = match inline {
            Some((inline, outcomes)) => {
                let holder =
                    summary.head.channels.iter().position(|(_, deliveries)| *deliveries > 0).unwrap_or(0);
                let wants = filter.wants_some(&summary.head.channels[holder].0, &summary.counters[holder].1);
                if wants && from.channel <= holder {
                    let first = if from.channel == holder { from.delivery } else { 0 };
                    let wanted = page.wanted(&outcomes, usize::try_from(first).unwrap_or(usize::MAX));
                    page.take(holder, 0, &wanted, &inline.deliveries)
                } else {
                    None
                }
            }
            None => self.big(p, order_id, &mut page, from).await?,
        };
        let Page { deliveries, unreadable, .. } = page;
        Ok(Some(DeliveryPage { deliveries, unreadable, next, summary }))
    }

    /// Fills a page from the parcels of a big order; returns where the next page begins.
    async fn big(
        &self,
        p: u16,
        order_id: &OrderId,
        page: &mut Page<'_>,
        from: DeliveryCursor,
    ) -> Result<Option<DeliveryCursor>, CallError> {
        let summary = page.summary;
        let (head, ended) = (&summary.head, summary.ended_before_due());
        let mut looks = 0;
        for (at, (channel, counters)) in summary.counters.iter().enumerate().skip(from.channel) {
            if !page.filter.wants_some(channel, counters) {
                continue;
            }
            let first_delivery = if at == from.channel { from.delivery } else { 0 };
            let parcels = head.parcels(channel);
            let mut n = first_delivery / PARCEL_DELIVERIES;
            while n < parcels {
                if looks >= MOST_LOOKS {
                    return Ok(Some(DeliveryCursor { channel: at, delivery: n * PARCEL_DELIVERIES }));
                }
                let group = n..parcels.min(n + page.parcels_wanted()).min(n + MOST_LOOKS - looks);
                looks += group.end - group.start;
                let parcel_ids: Vec<ParcelId> =
                    group.clone().map(|number| ParcelId { order_id: order_id.clone(), number }).collect();
                let outcomes =
                    join_all(parcel_ids.iter().map(|m| self.load_outcomes(p, channel, m, head, ended)));
                for (parcel_id, outcomes) in parcel_ids.iter().zip(outcomes.await) {
                    let first = parcel_id.number * PARCEL_DELIVERIES;
                    let skipped = usize::try_from(first_delivery.saturating_sub(first)).unwrap_or(usize::MAX);
                    let full = page.deliveries.len() == page.limit;
                    let here = Some(DeliveryCursor { channel: at, delivery: first });
                    let outcomes = match outcomes {
                        Ok(outcomes) => outcomes,
                        Err(_) if full => return Ok(here),
                        Err(error) => {
                            let deliveries = head.parcel_deliveries(channel, parcel_id.number) as usize;
                            page.pass_over(at, parcel_id.number, deliveries.saturating_sub(skipped), error)?;
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
                    let deliveries = match self.load_deliveries(p, channel, parcel_id).await {
                        Ok(deliveries) => deliveries,
                        Err(error) => {
                            page.pass_over(at, parcel_id.number, wanted.len(), error)?;
                            continue;
                        }
                    };
                    if let Some(next) = page.take(at, first, &wanted, &deliveries) {
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
    fn only_a_cursor_is_read_back() {
        let cursor = DeliveryCursor { channel: 2, delivery: 1_500 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "-", "1", "1-", "-1", "+1-2", "1-+2", "1-2-3", "1-99999999999", "x-1", " 1-2"] {
            assert_eq!(bad.parse::<DeliveryCursor>(), Err(InvalidCursor), "{bad:?}");
        }
    }
}
