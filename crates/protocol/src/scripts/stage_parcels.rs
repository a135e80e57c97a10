//! `stage_parcels`: stores parcels of a big order that is still being uploaded.

use bytes::Bytes;
use posthaste_model::{Channel, OrderId};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("stage_parcels", drains: false,
    keys: ["epoch:{p}", "fence:{p}", "staging:{p}"],
    args: ["request id", "epoch", "order id", "upload id", "1 for the first call, which opens",
        "content of the order (with the first call, else empty)", "channel, number, parcel"],
    codes: ["ok", "upload_lost", "order_exists", "gap", "wrong_epoch"]);

/// Stores parcels.
#[derive(Debug, Clone)]
pub struct StageParcels<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The order.
    pub order_id: &'a OrderId,
    /// Id of the upload: opening with another id takes over.
    pub upload: &'a str,
    /// The packed content, with the first call.
    pub open: Option<&'a [u8]>,
    /// Channel, number and packed deliveries; at most 100.
    pub parcels: &'a [(Channel, u32, Vec<u8>)],
}

/// The result of staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staged {
    /// Stored.
    Ok,
    /// Not open, no longer open, or taken over by another upload: start again.
    UploadLost,
    /// An order with this id already exists.
    OrderExists,
    /// A parcel before these is missing.
    Gap,
}

impl ScriptCall for StageParcels<'_> {
    type Reply = Staged;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.staging()]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![
            arg_text(self.order_id.as_str()),
            arg_text(self.upload),
            arg(u8::from(self.open.is_some())),
            Bytes::copy_from_slice(self.open.unwrap_or_default()),
        ];
        for (channel, n, deliveries) in self.parcels {
            args.extend([arg_text(channel.as_str()), arg(n), Bytes::copy_from_slice(deliveries)]);
        }
        args
    }

    fn decode(code: &str, _: ReplyFields) -> Result<Staged, Malformed> {
        Ok(match code {
            "ok" => Staged::Ok,
            "upload_lost" => Staged::UploadLost,
            "order_exists" => Staged::OrderExists,
            "gap" => Staged::Gap,
            _ => return Err(Malformed::new("code of stage_parcels")),
        })
    }
}
