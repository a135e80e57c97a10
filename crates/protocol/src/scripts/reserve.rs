//! `reserve`: takes a place in the day's limit of a sender.

use bytes::Bytes;
use posthaste_model::{SenderId, Suffix, UnixMs};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("reserve", drains: false,
    keys: ["limit:{<sender>}"],
    args: ["request id", "suffix", "orders a day", "start of the day in ms"],
    codes: ["ok", "same", "full"]);

/// Takes a place.
#[derive(Debug, Clone)]
pub struct Reserve<'a> {
    /// Whose day.
    pub sender: &'a SenderId,
    /// For which order.
    pub suffix: &'a Suffix,
    /// Orders a day.
    pub daily: u32,
    /// When the day began.
    pub day_start: UnixMs,
}

/// A place in a sender's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of which order.
    pub suffix: Suffix,
    /// When it was taken.
    pub taken: UnixMs,
}

/// Whether there was room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The order has its place.
    Ok {
        /// Orders of the day, this one included.
        used: u32,
        /// Whether it had its place before.
        again: bool,
        /// When its place was taken.
        taken: UnixMs,
    },
    /// The day is full.
    Full {
        /// Orders of the day.
        used: u32,
        /// Places taken more than ten minutes ago: their orders may never have come.
        to_check: Vec<Place>,
    },
}

impl Script for Reserve<'_> {
    type Reply = Reserved;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![Keys::limit(self.sender)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.suffix.as_str()), arg(self.daily), arg(self.day_start.0)]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Reserved, Malformed> {
        let used = f.u32("used")?;
        Ok(match code {
            "ok" | "same" => {
                Reserved::Ok { used, again: code == "same", taken: UnixMs(f.u64("taken")?) }
            }
            "full" => {
                let mut named = f.array("places")?.into_iter();
                let mut to_check = Vec::new();
                while let (Some(suffix), Some(taken)) = (named.next(), named.next()) {
                    let suffix = suffix.text("suffix")?.parse().map_err(|_| Malformed::new("suffix"))?;
                    to_check.push(Place { suffix, taken: UnixMs(taken.u64("taken")?) });
                }
                Reserved::Full { used, to_check }
            }
            _ => return Err(Malformed::new("code of reserve")),
        })
    }
}
