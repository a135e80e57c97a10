//! `unreserve`: gives places in the day's limit back.

use bytes::Bytes;
use posthaste_model::SenderId;

use crate::keys::Keys;
use super::reserve::Place;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("unreserve", drains: true,
    keys: ["limit:{<sender>}"],
    args: ["request id", "suffix, when its place was taken in ms"],
    codes: ["ok"]);

/// Gives places back.
#[derive(Debug, Clone)]
pub struct Unreserve<'a> {
    /// Whose day.
    pub sender: &'a SenderId,
    /// Which ones, 100 at most.
    pub places: &'a [Place],
}

impl Script for Unreserve<'_> {
    /// Places given back.
    type Reply = u32;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![Keys::limit(self.sender)]
    }

    fn args(&self) -> Vec<Bytes> {
        self.places.iter().flat_map(|place| [arg_text(place.suffix.as_str()), arg(place.taken.0)]).collect()
    }

    fn decode(code: &str, mut f: Fields) -> Result<u32, Malformed> {
        if code == "ok" { f.u32("places") } else { Err(Malformed::new("code of unreserve")) }
    }
}
