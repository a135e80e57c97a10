//! The record of one order, as read by histories and checkers.

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::try_join3;
use posthaste_model::{Channel, Counters, OrderId, Priority, UnixMs};
use posthaste_protocol::record::{DeliveryRecords, Head, Inline, decode_counters};
use posthaste_protocol::{Malformed, ReplyValue};

use crate::command::text;
use crate::error::CallError;
use crate::store::Store;

/// The record of an order.
#[derive(Debug, Clone)]
pub struct OrderRecord {
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
    /// Content, deliveries and outcomes, if they are inside the record.
    pub inline: Option<(Inline, DeliveryRecords)>,
}

impl OrderRecord {
    /// Whether it was cancelled before it was promoted: then the parcels of a big order have no outcome records, and
    /// all their deliveries are cancelled.
    #[must_use]
    pub fn ended_before_due(&self) -> bool {
        self.cancelled.is_some() && self.finished.is_some()
    }
}

type Record = HashMap<Bytes, Bytes>;

impl Store {
    /// The record of an order; `None` when it does not exist.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the record can't be read.
    pub async fn load_order(&self, p: u16, order_id: &OrderId) -> Result<Option<OrderRecord>, CallError> {
        let at = self.0.partition(p)?;
        let reader = &self.0.reader().await?;
        let score = |priority| {
            reader.ask("ZSCORE", vec![text(at.keys.due(priority)), text(order_id.to_string())], at.slot)
        };
        let record = async {
            let record = reader.ask("HGETALL", vec![text(at.keys.history(order_id))], at.slot).await;
            record.map_err(CallError::of_record)
        };
        let (record, urgent, bulk) =
            try_join3(record, score(Priority::Urgent), score(Priority::Bulk)).await?;
        let due = if matches!(urgent, ReplyValue::Nil) { bulk } else { urgent };
        let record = fields(record)?;
        // An unreadable order that an operator ended has only this field left.
        if record.is_empty() || (record.contains_key(&b"t"[..]) && !record.contains_key(&b"h"[..])) {
            return Ok(None);
        }
        view(&record, due).map(Some)
    }
}

fn fields(flat: ReplyValue) -> Result<Record, CallError> {
    let mut flat = flat.array("history").map_err(fault)?.into_iter();
    let mut record = Record::new();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        record.insert(name.bytes("field").map_err(fault)?, value.bytes("field").map_err(fault)?);
    }
    Ok(record)
}

fn fault(malformed: Malformed) -> CallError {
    CallError::record(malformed)
}

fn malformed(what: &'static str) -> CallError {
    CallError::record(Malformed::new(what))
}

fn number(record: &Record, field: &str) -> Option<u64> {
    std::str::from_utf8(record.get(field.as_bytes())?).ok()?.parse().ok()
}

fn view(record: &Record, due: ReplyValue) -> Result<OrderRecord, CallError> {
    let head = Head::decode(record.get(&b"h"[..]).ok_or_else(|| malformed("head"))?).map_err(fault)?;
    let inline = if head.inline { Some(inline(record, &head)?) } else { None };
    let mut counters = Vec::new();
    for (channel, _) in &head.channels {
        let mut of_channel = match (&inline, record.get(format!("c:{channel}").as_bytes())) {
            // An inline order has one channel with deliveries; the others only have recipients without an address.
            (Some((_, outcomes)), _) if head.deliveries(channel) > 0 => outcomes.counters(),
            (Some(_), _) => Counters::default(),
            (None, Some(packed)) => decode_counters(packed).map_err(fault)?,
            (None, None) => return Err(malformed("counters")),
        };
        if inline.is_some() {
            let without = number(record, &format!("n:{channel}")).unwrap_or(0);
            of_channel.no_contact = u32::try_from(without).map_err(|_| malformed("counters"))?;
        }
        counters.push((channel.clone(), of_channel));
    }
    let moment = |field| number(record, field).map(UnixMs);
    Ok(OrderRecord {
        counters,
        revision: number(record, "v").unwrap_or(0),
        cancelled: moment("x"),
        finished: moment("f"),
        waits_until: due.u64("due time").ok().map(UnixMs),
        promoted: number(record, "g").and_then(|promoted| u32::try_from(promoted).ok()),
        inline,
        head,
    })
}

fn inline(record: &Record, head: &Head) -> Result<(Inline, DeliveryRecords), CallError> {
    let mut blob = Vec::new();
    let mut n = 0;
    while let Some(piece) = record.get(format!("b{n}").as_bytes()) {
        blob.extend_from_slice(piece);
        n += 1;
    }
    let inline = Inline::decode(&blob).map_err(fault)?;
    let deliveries = u32::try_from(inline.deliveries.len()).map_err(|_| malformed("deliveries"))?;
    if deliveries != head.channels.iter().map(|(_, deliveries)| *deliveries).sum::<u32>() {
        return Err(malformed("deliveries: another number of them than their head says"));
    }
    let outcomes = DeliveryRecords::decode(record.get(&b"o"[..]).map(|o| &o[..]), deliveries, head.due)
        .map_err(fault)?;
    Ok((inline, outcomes))
}
