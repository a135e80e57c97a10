//! `register_process`: the first call of a process to a database.

use bytes::Bytes;
use posthaste_model::Channel;

use crate::{OLDEST_SCHEMA, SCHEMA};
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("register_process", drains: false,
    keys: ["epoch:{p}", "fence:{p}", "schema:{p}", "orders:{p}", "channels:{p}"],
    args: ["request id", "epoch known to the caller, empty at its first start", "epoch to set in an empty database",
        "schema of the caller", "number of partitions", "channel of a courier, or empty",
        "whether the channel gets delivery receipts: 1, 0, or empty for not known",
        "oldest schema of a program that may run beside the caller"],
    codes: ["ok", "foreign", "program_too_old", "halted", "wrong_epoch"]);

/// Registers a process.
#[derive(Debug, Clone)]
pub struct RegisterProcess<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// A random id for an empty database.
    pub fresh_epoch: &'a str,
    /// Number of partitions of the installation.
    pub partitions: u16,
    /// The channel of a courier.
    pub channel: Option<&'a Channel>,
    /// Whether the channel gets receipts for messages after they were accepted, if the courier says so.
    pub receipts: Option<bool>,
}

/// What the database is. The epoch is in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It belongs to this installation.
    Ok {
        /// Schema of the data.
        schema: u32,
    },
    /// It holds orders without an epoch, or was set up with another number of partitions.
    Foreign,
    /// It requires a newer program.
    ProgramTooOld,
    /// It belongs to this installation and is halted: it went back or was wiped, and no operator has decided how to
    /// continue.
    Halted,
}

impl ScriptCall for RegisterProcess<'_> {
    type Reply = Registered;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.schema(), k.orders(), k.channels()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.fresh_epoch),
            arg(SCHEMA),
            arg(self.partitions),
            arg_text(self.channel.map_or("", Channel::as_str)),
            arg_text(match self.receipts {
                Some(true) => "1",
                Some(false) => "0",
                None => "",
            }),
            arg(OLDEST_SCHEMA),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Registered, Malformed> {
        match code {
            "ok" => Ok(Registered::Ok { schema: f.u32("schema")? }),
            "foreign" => Ok(Registered::Foreign),
            "program_too_old" => Ok(Registered::ProgramTooOld),
            "halted" => Ok(Registered::Halted),
            _ => Err(Malformed::new("code of register_process")),
        }
    }
}
