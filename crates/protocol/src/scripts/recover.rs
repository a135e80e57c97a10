//! `recover`: ends a halt.

use bytes::Bytes;

use crate::SCHEMA;
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("recover", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "halted:{p}", "lost:{p}", "runs:{p}", "schema:{p}"],
    args: ["request id", "epoch", "schema of the caller", "number of partitions"],
    codes: ["ok", "not_halted", "wrong_epoch"]);

/// Ends a halt; called with the halted epoch.
#[derive(Debug, Clone)]
pub struct Recover<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// Number of partitions of the installation.
    pub partitions: u16,
}

impl ScriptCall for Recover<'_> {
    /// The new epoch; `None` when it is not halted.
    type Reply = Option<String>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.halted(), k.lost(), k.runs(), k.schema()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(SCHEMA), arg(self.partitions)]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Option<String>, Malformed> {
        match code {
            "ok" => f.text("epoch").map(Some),
            "not_halted" => Ok(None),
            _ => Err(Malformed::new("code of recover")),
        }
    }
}
