//! `fail_order`: ends an order whose record can't be read.

use bytes::Bytes;
use posthaste_model::{Lane, Suffix};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("fail_order", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "history:{p}:<suffix>", "parked:{p}",
        "parked_why:{p}", "channels:{p}"],
    args: ["request id", "epoch", "suffix", "channel to go on from, empty at first", "parcel to go on from",
        "1 to end it though its head can be read, because a parcel of it can't"],
    codes: ["ok", "again", "more", "readable", "gone", "newer", "epoch"]);

/// Ends an order that can't be read, by an operator's word, in bounded steps.
#[derive(Debug, Clone)]
pub struct FailOrder<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Which order.
    pub suffix: &'a Suffix,
    /// Channel and parcel to go on from.
    pub from: Option<(&'a str, u64)>,
    /// End it though its head can be read.
    pub forced: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedOrder {
    /// It is ended.
    Ended,
    /// It was ended before.
    Again,
    /// Call again, from this channel and parcel on.
    More(String, u64),
    /// Its head can be read: nothing was done.
    Readable,
    /// There is no such order.
    Gone,
    /// It is of a later version: a newer program can read it.
    Newer,
}

impl Script for FailOrder<'_> {
    type Reply = FailedOrder;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![
            k.epoch(),
            k.fence(),
            k.due(Lane::Urgent),
            k.due(Lane::Bulk),
            k.history(self.suffix),
            k.parked_orders(),
            k.parked_why(),
            k.channels(),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        let (channel, parcel) = self.from.unwrap_or(("", 0));
        vec![arg_text(self.suffix.as_str()), arg_text(channel), arg(parcel), arg(u8::from(self.forced))]
    }

    fn decode(code: &str, mut f: Fields) -> Result<FailedOrder, Malformed> {
        Ok(match code {
            "ok" => FailedOrder::Ended,
            "again" => FailedOrder::Again,
            "more" => FailedOrder::More(f.text("channel")?, f.u64("parcel")?),
            "readable" => FailedOrder::Readable,
            "gone" => FailedOrder::Gone,
            "newer" => FailedOrder::Newer,
            _ => return Err(Malformed::new("code of fail_order")),
        })
    }
}
