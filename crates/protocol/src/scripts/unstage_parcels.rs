//! `unstage_parcels`: removes staged data that is no longer needed.

use bytes::Bytes;
use posthaste_model::OrderId;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("unstage_parcels", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "staging:{p}"],
    args: ["request id", "epoch", "order id, or empty for the oldest silent one",
        "upload id, or empty for whichever there is"],
    codes: ["done", "more", "wrong_epoch"]);

/// Removes staged parcels, 500 per call.
#[derive(Debug, Clone)]
pub struct Unstage<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The order; `None` for the oldest that has been idle for 15 minutes.
    pub order_id: Option<&'a OrderId>,
    /// Only if this upload holds it; `None` for any.
    pub upload: Option<&'a str>,
}

/// How far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unstaged {
    /// Finished with this order, or there was none, or another upload holds it.
    Done(Option<String>),
    /// Call again.
    More(String),
}

impl ScriptCall for Unstage<'_> {
    type Reply = Unstaged;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.staging()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.order_id.map_or("", OrderId::as_str)), arg_text(self.upload.unwrap_or_default())]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Unstaged, Malformed> {
        let order_id = f.text("order id")?;
        match code {
            "done" => Ok(Unstaged::Done((!order_id.is_empty()).then_some(order_id))),
            "more" => Ok(Unstaged::More(order_id)),
            _ => Err(Malformed::new("code of unstage_parcels")),
        }
    }
}
