//! `retire`: removes old orders.

use bytes::Bytes;

use crate::keys::Keys;
use crate::script::{Script, arg};
use crate::value::{Fields, Malformed};

contract!("retire", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "retire:{p}:<day>", "orders:{p}"],
    args: ["request id", "epoch", "day, days since 1970", "retention in days"],
    codes: ["done", "more", "early", "epoch"]);

/// Removes orders that became final on one day, in bounded steps.
#[derive(Debug, Clone)]
pub struct Retire<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Days since 1970.
    pub day: u64,
    /// How many days later.
    pub retention_days: u32,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// The day is finished.
    Done(u64),
    /// Call again.
    More(u64),
    /// The retention is not over: nothing changed.
    Early,
}

impl Script for Retire<'_> {
    type Reply = Retired;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.retire(self.day), k.orders()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.day), arg(self.retention_days)]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Retired, Malformed> {
        Ok(match code {
            "done" => Retired::Done(f.u64("removed")?),
            "more" => Retired::More(f.u64("removed")?),
            "early" => Retired::Early,
            _ => return Err(Malformed::new("code of retire")),
        })
    }
}
