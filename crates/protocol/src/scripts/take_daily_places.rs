//! `take_daily_places`: takes a place in a sender's daily limit.

use bytes::Bytes;
use posthaste_model::{SenderId, OrderId, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("take_daily_places", drains: false,
    keys: ["limit:{<sender>}"],
    args: ["request id", "order id", "orders a day", "start of the day in ms"],
    codes: ["ok", "already_done", "limit_reached"]);

/// Takes a place.
#[derive(Debug, Clone)]
pub struct TakeDailyPlaces<'a> {
    /// The sender.
    pub sender: &'a SenderId,
    /// The order.
    pub order_id: &'a OrderId,
    /// The limit of orders per day.
    pub daily: u32,
    /// When the day began.
    pub day_start: UnixMs,
}

/// A place in a sender's daily limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyPlace {
    /// The order.
    pub order_id: OrderId,
    /// When it was taken.
    pub taken: UnixMs,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DailyPlaces {
    /// The order has its place.
    Ok {
        /// Orders of the day, this one included.
        used: u32,
        /// Whether it had its place before.
        already_done: bool,
        /// When its place was taken.
        taken: UnixMs,
    },
    /// The day is full.
    LimitReached {
        /// Orders of the day.
        used: u32,
        /// Places taken more than ten minutes ago: their orders may never have been stored.
        to_check: Vec<DailyPlace>,
    },
}

impl ScriptCall for TakeDailyPlaces<'_> {
    type Reply = DailyPlaces;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![PartitionKeys::limit(self.sender)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.order_id.as_str()), arg(self.daily), arg(self.day_start.0)]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<DailyPlaces, Malformed> {
        let used = f.u32("used")?;
        Ok(match code {
            "ok" | "already_done" => {
                DailyPlaces::Ok { used, already_done: code == "already_done", taken: UnixMs(f.u64("taken")?) }
            }
            "limit_reached" => {
                let mut named = f.array("places")?.into_iter();
                let mut to_check = Vec::new();
                while let (Some(order_id), Some(taken)) = (named.next(), named.next()) {
                    let order_id = order_id.text("order id")?.parse().map_err(|_| Malformed::new("order id"))?;
                    to_check.push(DailyPlace { order_id, taken: UnixMs(taken.u64("taken")?) });
                }
                DailyPlaces::LimitReached { used, to_check }
            }
            _ => return Err(Malformed::new("code of take_daily_places")),
        })
    }
}
