//! `remember`: writes down the order of a short name for an hour.

use bytes::Bytes;
use posthaste_model::Suffix;

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("remember", drains: false,
    keys: ["order-names:{n<shard>}:<place in the circle>"],
    args: ["request id", "name", "order"],
    codes: ["ok"]);

/// Keeps a name.
#[derive(Debug, Clone)]
pub struct Remember<'a> {
    /// The name.
    pub name: &'a str,
    /// Its order.
    pub order: &'a Suffix,
}

impl Script for Remember<'_> {
    type Reply = ();

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        Keys::order_names(self.name).into()
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.name), arg_text(self.order.as_str())]
    }

    fn decode(code: &str, _: Fields) -> Result<(), Malformed> {
        if code == "ok" { Ok(()) } else { Err(Malformed::new("code of remember")) }
    }
}
