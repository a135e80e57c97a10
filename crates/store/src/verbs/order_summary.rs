//! The summary of an order: head, counters, revision and flags, without content and deliveries. For snapshots and
//! lists.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join;
use posthaste_model::{Channel, Content, Counters, OrderId, State, UnixMs};
use posthaste_protocol::record::{DeliveryRecords, Head, decode_counters};
use posthaste_protocol::{Malformed, ReplyFields, ReplyValue};

use super::order::OrderRecord;
use crate::command::text;
use crate::epoch_guard::Partition;
use crate::error::CallError;
use crate::reader::Reader;
use crate::store::Store;

/// An order without its content and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSummary {
    /// Its head.
    pub head: Head,
    /// Deliveries by state, for each channel in the order of the head.
    pub counters: Vec<(Channel, Counters)>,
    /// Grows with every change.
    pub revision: u64,
    /// When it was cancelled.
    pub cancelled: Option<UnixMs>,
    /// When its last delivery became final.
    pub finished: Option<UnixMs>,
    /// When it is due, as long as not all of it has been promoted.
    pub waits_until: Option<UnixMs>,
    /// Parcels promoted so far, while a big order is being promoted.
    pub promoted: Option<u32>,
}

impl OrderSummary {
    /// Deliveries by state, and recipients without an address, over all channels.
    #[must_use]
    pub fn totals(&self) -> Counters {
        let mut totals = Counters::default();
        for (_, counters) in &self.counters {
            for state in State::ALL {
                totals[state] = totals[state].saturating_add(counters[state]);
            }
            totals.no_contact = totals.no_contact.saturating_add(counters.no_contact);
        }
        totals
    }

    /// Whether it was cancelled before it was promoted: then the parcels of a big order have no outcome records.
    #[must_use]
    pub fn ended_before_due(&self) -> bool {
        self.cancelled.is_some() && self.finished.is_some()
    }
}

impl From<&OrderRecord> for OrderSummary {
    fn from(view: &OrderRecord) -> Self {
        Self {
            head: view.head.clone(),
            counters: view.counters.clone(),
            revision: view.revision,
            cancelled: view.cancelled,
            finished: view.finished,
            waits_until: view.waits_until,
            promoted: view.promoted,
        }
    }
}

/// The result of `HMGET h t` of a history.
#[derive(Debug)]
pub(crate) enum RawSummary {
    /// The order exists.
    Head(Head),
    /// The order could not be read, and an operator ended it at this moment.
    Ended(UnixMs),
    /// There is no order.
    Gone,
}

/// A field that may be missing.
fn field(fields: &mut ReplyFields) -> Result<Option<Bytes>, Malformed> {
    match fields.value("field")? {
        ReplyValue::Nil => Ok(None),
        value => value.bytes("field").map(Some),
    }
}

fn number(bytes: Option<Bytes>) -> Option<u64> {
    std::str::from_utf8(&bytes?).ok()?.parse().ok()
}

/// The fields with everything except content and deliveries: those all orders have, then one per channel.
fn names(layout: &Head) -> Vec<String> {
    let kind = if layout.inline { 'n' } else { 'c' };
    let plain = ["h", "v", "x", "f", "g", "o"].map(str::to_owned);
    plain.into_iter().chain(layout.channels.iter().map(|(channel, _)| format!("{kind}:{channel}"))).collect()
}

/// Reads the values of [`names`]; `None` when the order is gone.
fn read(values: ReplyValue, layout: &Head) -> Result<Option<OrderSummary>, Malformed> {
    let mut values = ReplyFields::new(values.array("history")?);
    let Some(head) = field(&mut values)? else { return Ok(None) };
    let head = Head::decode(&head)?;
    if head.channels != layout.channels || head.inline != layout.inline {
        return Err(Malformed::new("head: not that of the order"));
    }
    let (revision, cancelled) = (number(field(&mut values)?), number(field(&mut values)?).map(UnixMs));
    let (finished, promoted) = (number(field(&mut values)?).map(UnixMs), number(field(&mut values)?));
    let outcomes = field(&mut values)?;
    let mut counters = Vec::with_capacity(head.channels.len());
    for (channel, deliveries) in &head.channels {
        let value = field(&mut values)?;
        let of_channel = if head.inline {
            // An inline order has one channel with deliveries; others only have recipients without an address.
            let mut of_channel = match deliveries {
                0 => Counters::default(),
                deliveries => DeliveryRecords::decode(outcomes.as_deref(), *deliveries, head.due)?.counters(),
            };
            let without = u32::try_from(number(value).unwrap_or(0));
            of_channel.no_contact = without.map_err(|_| Malformed::new("counters"))?;
            of_channel
        } else {
            decode_counters(&value.ok_or(Malformed::new("counters"))?)?
        };
        counters.push((channel.clone(), of_channel));
    }
    Ok(Some(OrderSummary {
        counters,
        revision: revision.unwrap_or(0),
        cancelled,
        finished,
        waits_until: None,
        promoted: promoted.and_then(|promoted| u32::try_from(promoted).ok()),
        head,
    }))
}

/// The head of an order; `None` when it does not exist.
pub(super) async fn head(
    reader: &Reader,
    at: &Partition,
    order_id: &OrderId,
) -> Result<Option<Head>, CallError> {
    let reply = reader.ask("HGET", vec![text(at.keys.history(order_id)), "h".into()], at.slot).await;
    match reply.map_err(CallError::of_record)? {
        ReplyValue::Nil => Ok(None),
        head => {
            let head = head.bytes("head").map_err(CallError::record)?;
            Head::decode(&head).map(Some).map_err(CallError::record)
        }
    }
}

/// The head of an order, or what is left of an order that an operator ended.
pub(super) async fn look(
    reader: &Reader,
    at: &Partition,
    order_id: &OrderId,
) -> Result<RawSummary, CallError> {
    let args = vec![text(at.keys.history(order_id)), "h".into(), "t".into()];
    let values = reader.ask("HMGET", args, at.slot).await.map_err(CallError::of_record)?;
    let mut values = ReplyFields::new(values.array("history").map_err(CallError::record)?);
    let head = field(&mut values).map_err(CallError::record)?;
    let ended = field(&mut values).map_err(CallError::record)?;
    Ok(match (head, ended) {
        (Some(head), _) => RawSummary::Head(Head::decode(&head).map_err(CallError::record)?),
        (None, Some(ended)) => {
            let moment =
                std::str::from_utf8(&ended).ok().and_then(|text| text.rsplit(' ').next()?.parse().ok());
            RawSummary::Ended(UnixMs(moment.unwrap_or(0)))
        }
        (None, None) => RawSummary::Gone,
    })
}

/// The summary of an order whose channels and layout are known. `asks_due`: whether it may still wait to be
/// promoted.
pub(super) async fn summary(
    reader: &Reader,
    at: &Partition,
    order_id: &OrderId,
    layout: &Head,
    asks_due: bool,
) -> Result<Option<OrderSummary>, CallError> {
    let mut args = vec![text(at.keys.history(order_id))];
    args.extend(names(layout).into_iter().map(text));
    let due = async {
        if !asks_due {
            return Ok(ReplyValue::Nil);
        }
        let args = vec![text(at.keys.due(layout.priority)), text(order_id.to_string())];
        reader.ask("ZSCORE", args, at.slot).await
    };
    let values = async { reader.ask("HMGET", args, at.slot).await.map_err(CallError::of_record) };
    let (values, due) = try_join(values, due).await?;
    let summary = read(values, layout).map_err(CallError::record)?;
    Ok(summary.map(|summary| OrderSummary { waits_until: due.u64("due time").ok().map(UnixMs), ..summary }))
}

impl Store {
    /// The summary of an order; `None` when it does not exist. `before`: an earlier summary of the same order, which
    /// saves a round trip.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply::Record` when it can't be read.
    pub async fn order_summary(
        &self,
        order_id: &OrderId,
        before: Option<&OrderSummary>,
    ) -> Result<Option<OrderSummary>, CallError> {
        let at = self.0.partition(self.partition_of(order_id))?;
        let reader = &self.0.reader().await?;
        if let Some(before) = before {
            // Once promoted, an order does not wait again.
            return summary(reader, at, order_id, &before.head, before.waits_until.is_some()).await;
        }
        match head(reader, at, order_id).await? {
            Some(head) => summary(reader, at, order_id, &head, true).await,
            None => Ok(None),
        }
    }

    /// The head of an order; `None` when it does not exist.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply::Record` when it can't be read.
    pub async fn order_head(&self, order_id: &OrderId) -> Result<Option<Head>, CallError> {
        head(&self.0.reader().await?, self.0.partition(self.partition_of(order_id))?, order_id).await
    }

    /// When an operator ended an unreadable order; `None` when there is no such order, or it can be read.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn ended_unreadable(&self, order_id: &OrderId) -> Result<Option<UnixMs>, CallError> {
        let at = self.0.partition(self.partition_of(order_id))?;
        match look(&self.0.reader().await?, at, order_id).await? {
            RawSummary::Ended(moment) => Ok(Some(moment)),
            RawSummary::Head(_) | RawSummary::Gone => Ok(None),
        }
    }

    /// The summary of an order that an earlier request may have stored, once it is as safe as an order that is
    /// accepted now.
    ///
    /// # Errors
    /// A [`CallError`]; `NotDurable` when it exists, but is not yet that safe.
    pub async fn confirmed_order_summary(
        &self,
        order_id: &OrderId,
    ) -> Result<Option<OrderSummary>, CallError> {
        let p = self.partition_of(order_id);
        let before = self.0.before_confirm(p);
        let summary = self.order_summary(order_id, None).await?;
        if summary.is_some() {
            self.0.confirmed(p, before).await?;
        }
        Ok(summary)
    }

    /// The content of an order, small or big; `None` when the order does not exist.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply::Record` when it can't be read.
    pub async fn order_content(&self, order_id: &OrderId) -> Result<Option<Arc<Content>>, CallError> {
        let p = self.partition_of(order_id);
        let head = head(&self.0.reader().await?, self.0.partition(p)?, order_id).await?;
        match head {
            None => Ok(None),
            Some(head) if !head.inline => self.load_content(p, order_id).await.map(Some),
            Some(_) => {
                let Some(view) = self.load_order(p, order_id).await? else { return Ok(None) };
                let (inline, _) = view.inline.ok_or(CallError::record(Malformed::new("inline order")))?;
                Ok(Some(Arc::new(inline.content)))
            }
        }
    }
}
