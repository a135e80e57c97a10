//! `ring`: moves due orders to ready.

use bytes::Bytes;
use posthaste_model::{Lane, UnixMs};

use crate::keys::Keys;
use crate::script::Script;
use crate::value::{Fields, Malformed};

contract!("ring", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk"],
    args: ["request id", "epoch"],
    codes: ["ok", "epoch"]);

/// Rings what is due.
#[derive(Debug, Clone)]
pub struct Ring<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
}

/// What was rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// The earliest due time left.
    pub next: Option<UnixMs>,
    /// Parcels moved to ready.
    pub parcels: u64,
    /// Delivery keys somebody had made persistent.
    pub persisted: u64,
    /// Entries without a record, dropped.
    pub lost: u64,
}

impl Script for Ring<'_> {
    type Reply = Rung;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.due(Lane::Urgent), self.keys.due(Lane::Bulk)]
    }

    fn args(&self) -> Vec<Bytes> {
        Vec::new()
    }

    fn decode(code: &str, mut f: Fields) -> Result<Rung, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of ring"));
        }
        let next = f.u64("next")?;
        Ok(Rung {
            next: (next > 0).then_some(UnixMs(next)),
            parcels: f.u64("rung")?,
            persisted: f.u64("persisted")?,
            lost: f.u64("lost")?,
        })
    }
}
