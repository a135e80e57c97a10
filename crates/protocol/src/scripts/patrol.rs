//! `patrol`: names orders whose record and indexes may disagree.

use bytes::Bytes;
use posthaste_model::{Lane, Suffix};

use super::unread::names;
use crate::keys::Keys;
use crate::script::{Script, arg};
use crate::value::{Fields, Malformed};

contract!("patrol", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "orders:{p}"],
    args: ["request id", "epoch", "position in the list to go on from", "orders at most"],
    codes: ["ok", "epoch"]);

/// Walks the list of orders.
#[derive(Debug, Clone)]
pub struct Patrol<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Position to go on from.
    pub from: u64,
    /// Orders at most, 500 at most.
    pub limit: u32,
}

/// What the walk met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patrolled {
    /// Position to go on from; `None` at the end.
    pub next: Option<u64>,
    /// Orders to audit.
    pub named: Vec<Suffix>,
}

impl Script for Patrol<'_> {
    type Reply = Patrolled;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.due(Lane::Urgent), k.due(Lane::Bulk), k.orders()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.from), arg(self.limit.clamp(1, 500))]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Patrolled, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of patrol"));
        }
        let next = f.u64("position")?;
        let named = names(&mut f, "suffixes")?;
        Ok(Patrolled { next: (next > 0).then_some(next), named })
    }
}
