//! `unreserve`: gives places in the day's limit back.

use bytes::Bytes;
use posthaste_model::{SenderId, Suffix};

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("unreserve", drains: true,
    keys: ["limit:{<sender>}"],
    args: ["request id", "suffix"],
    codes: ["ok"]);

/// Gives places back.
#[derive(Debug, Clone)]
pub struct Unreserve<'a> {
    /// Whose day.
    pub sender: &'a SenderId,
    /// Of which orders, 100 at most.
    pub suffixes: &'a [Suffix],
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
        self.suffixes.iter().map(|s| arg_text(s.as_str())).collect()
    }

    fn decode(code: &str, mut f: Fields) -> Result<u32, Malformed> {
        if code == "ok" { f.u32("places") } else { Err(Malformed::new("code of unreserve")) }
    }
}
