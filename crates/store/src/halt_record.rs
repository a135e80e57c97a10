//! What the database itself says about a halt: the record that the process that noticed it has written.

use posthaste_model::{OrderId, UnixMs};
use posthaste_protocol::scripts::halt::HaltCause;
use posthaste_protocol::{Malformed, ReplyFields, ReplyValue};

use crate::command::text;
use crate::epoch_guard::Partition;
use crate::error::{CallError, InvalidReply, malformed};
use crate::halted::HaltState;
use crate::reader::Reader;

fn fault(error: Malformed) -> CallError {
    CallError::InvalidReply(InvalidReply::Malformed(error))
}

/// The record of a partition; `None` when there is none.
pub(crate) async fn read(reader: &Reader, at: &Partition) -> Result<Option<HaltState>, CallError> {
    let fields = ["cause", "noticed", "since", "last"];
    let args = std::iter::once(text(at.keys.halted())).chain(fields.map(Into::into)).collect();
    let mut record =
        ReplyFields::new(reader.ask("HMGET", args, at.slot).await?.array("halt").map_err(fault)?);
    let cause = match record.value("cause").map_err(fault)? {
        ReplyValue::Bytes(word) if &*word == HaltCause::Wiped.word().as_bytes() => HaltCause::Wiped,
        ReplyValue::Bytes(_) => HaltCause::WentBack,
        _ => return Ok(None),
    };
    let mut moment = |what| {
        let value = record.u64(what).unwrap_or(0);
        (value > 0).then_some(UnixMs(value))
    };
    let (noticed, since, last) = (moment("noticed"), moment("since"), moment("last"));
    let lost = reader.ask("ZCARD", vec![text(at.keys.lost())], at.slot).await?.u64("lost").map_err(fault)?;
    let ends = if lost > 0 {
        orders(reader, at, 0, 0).await?.pop().zip(orders(reader, at, -1, -1).await?.pop())
    } else {
        None
    };
    Ok(Some(HaltState {
        cause: Some(cause),
        noticed,
        since,
        last,
        lost,
        ends: ends.map(|(first, last)| [first, last]),
    }))
}

/// Lost orders of a partition, by rank.
pub(crate) async fn orders(
    reader: &Reader,
    at: &Partition,
    from: i64,
    to: i64,
) -> Result<Vec<(OrderId, UnixMs)>, CallError> {
    let args = vec![text(at.keys.lost()), from.into(), to.into(), "WITHSCORES".into()];
    let flat = reader.ask("ZRANGE", args, at.slot).await?.array("lost orders").map_err(fault)?;
    let mut flat = flat.into_iter();
    let mut orders = Vec::new();
    while let (Some(order_id), Some(score)) = (flat.next(), flat.next()) {
        let order_id = order_id.text("lost order").map_err(fault)?;
        let order_id = order_id.parse().map_err(|_| malformed("lost order"))?;
        orders.push((order_id, UnixMs(score.u64("accepted").map_err(fault)?)));
    }
    Ok(orders)
}
