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

/// Whether there was room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The order has its place.
    Ok {
        /// Orders of the day, this one included.
        used: u32,
        /// Whether it had its place before.
        again: bool,
    },
    /// The day is full.
    Full {
        /// Orders of the day.
        used: u32,
        /// Places taken more than ten minutes ago: their orders may never have come.
        to_check: Vec<Suffix>,
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
            "ok" | "same" => Reserved::Ok { used, again: code == "same" },
            "full" => {
                let named = f.array("suffixes")?.into_iter();
                let to_check =
                    named.map(|s| s.text("suffix")?.parse().map_err(|_| Malformed::new("suffix"))).collect::<Result<_, _>>()?;
                Reserved::Full { used, to_check }
            }
            _ => return Err(Malformed::new("code of reserve")),
        })
    }
}
