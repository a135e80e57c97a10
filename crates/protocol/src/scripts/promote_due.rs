//! `promote_due`: moves due orders to ready.

use bytes::Bytes;
use posthaste_model::{Priority, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::ScriptCall;
use crate::reply_value::{ReplyFields, Malformed};

contract!("promote_due", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk"],
    args: ["request id", "epoch"],
    codes: ["ok", "wrong_epoch"]);

/// Promotes what is due.
#[derive(Debug, Clone)]
pub struct PromoteDue<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
}

/// What was promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promoted {
    /// The earliest due time left.
    pub next: Option<UnixMs>,
    /// Parcels moved to ready.
    pub parcels: u64,
    /// Delivery keys that another program had made persistent.
    pub persisted: u64,
    /// Entries without a record, dropped.
    pub lost: u64,
}

impl ScriptCall for PromoteDue<'_> {
    type Reply = Promoted;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.due(Priority::Urgent), self.keys.due(Priority::Bulk)]
    }

    fn args(&self) -> Vec<Bytes> {
        Vec::new()
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Promoted, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of promote_due"));
        }
        let next = f.u64("next")?;
        Ok(Promoted {
            next: (next > 0).then_some(UnixMs(next)),
            parcels: f.u64("promoted")?,
            persisted: f.u64("persisted")?,
            lost: f.u64("lost")?,
        })
    }
}
