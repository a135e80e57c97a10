//! `return_daily_places`: returns places in a sender's daily limit.

use bytes::Bytes;
use posthaste_model::SenderId;

use crate::keys::PartitionKeys;
use super::take_daily_places::DailyPlace;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("return_daily_places", drains: true,
    keys: ["limit:{<sender>}"],
    args: ["request id", "order id, when its place was taken in ms"],
    codes: ["ok"]);

/// Returns places.
#[derive(Debug, Clone)]
pub struct ReturnDailyPlaces<'a> {
    /// The sender.
    pub sender: &'a SenderId,
    /// The places, at most 100.
    pub places: &'a [DailyPlace],
}

impl ScriptCall for ReturnDailyPlaces<'_> {
    /// Number of places returned.
    type Reply = u32;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![PartitionKeys::limit(self.sender)]
    }

    fn args(&self) -> Vec<Bytes> {
        self.places.iter().flat_map(|place| [arg_text(place.order_id.as_str()), arg(place.taken.0)]).collect()
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<u32, Malformed> {
        if code == "ok" { f.u32("places") } else { Err(Malformed::new("code of return_daily_places")) }
    }
}
