//! `put_alias`: stores the order of a short name for an hour.

use bytes::Bytes;
use posthaste_model::OrderId;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("put_alias", drains: false,
    keys: ["order-names:{n<shard>}:<place in the circle>"],
    args: ["request id", "name", "order"],
    codes: ["ok"]);

/// Stores a name.
#[derive(Debug, Clone)]
pub struct PutAlias<'a> {
    /// The name.
    pub name: &'a str,
    /// Its order.
    pub order: &'a OrderId,
}

impl ScriptCall for PutAlias<'_> {
    type Reply = ();

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        PartitionKeys::order_names(self.name).into()
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.name), arg_text(self.order.as_str())]
    }

    fn decode(code: &str, _: ReplyFields) -> Result<(), Malformed> {
        if code == "ok" { Ok(()) } else { Err(Malformed::new("code of put_alias")) }
    }
}
