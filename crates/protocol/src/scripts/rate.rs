//! `rate`: lets the calls of an API key through at a steady rate and in bursts.

use std::time::Duration;

use bytes::Bytes;

use crate::keys::Keys;
use crate::record::KeyId;
use crate::script::{Script, arg};
use crate::value::{Fields, Malformed};

contract!("rate", drains: true,
    keys: ["rate:{<key id>}"],
    args: ["request id", "cost in calls; 0 only looks", "calls a second, 1,000,000 at most", "calls at once at most"],
    codes: ["ok", "wait", "never"]);

/// The most calls a second there may be.
const FASTEST: u32 = 1_000_000;

/// Asks whether calls may pass.
#[derive(Debug, Clone)]
pub struct Rate<'a> {
    /// Whose calls.
    pub id: &'a KeyId,
    /// How many; 0 only looks.
    pub cost: u32,
    /// Calls a second, 1 to 1,000,000; others are taken as the nearest.
    pub per_second: u32,
    /// Calls at once at most, 1 and more.
    pub burst: u32,
}

/// Whether they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rated {
    /// Go on.
    Allowed {
        /// Calls that may follow at once.
        left: u32,
        /// When the whole burst is free again.
        full_in: Duration,
    },
    /// Come back after this time. Nothing was counted.
    Wait(Duration),
    /// Ask for less: so many calls never pass at once. Nothing was counted.
    Never,
}

impl Script for Rate<'_> {
    type Reply = Rated;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![Keys::rate(self.id)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.cost), arg(self.per_second.clamp(1, FASTEST)), arg(self.burst.max(1))]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Rated, Malformed> {
        Ok(match code {
            "ok" => Rated::Allowed {
                left: f.u32("calls left")?,
                full_in: Duration::from_micros(f.u64("until all are free")?),
            },
            "wait" => Rated::Wait(Duration::from_micros(f.u64("wait")?)),
            "never" => Rated::Never,
            _ => return Err(Malformed::new("code of rate")),
        })
    }
}
