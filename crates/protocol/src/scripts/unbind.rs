//! `unbind`: takes an idempotency key off its suffix.

use bytes::Bytes;
use posthaste_model::Suffix;

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("unbind", drains: true,
    keys: ["idem:{<owner>:<key>}"],
    args: ["request id", "suffix"],
    codes: ["ok"]);

/// Frees a key.
#[derive(Debug, Clone)]
pub struct Unbind<'a> {
    /// Who owns the key.
    pub owner: &'a str,
    /// Digest of the key in hex.
    pub key_digest: &'a str,
    /// The suffix it was tied to.
    pub suffix: &'a Suffix,
}

impl Script for Unbind<'_> {
    /// Whether the key was tied to this suffix, by nobody else, and is free now.
    type Reply = bool;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![Keys::idempotency(self.owner, self.key_digest)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.suffix.as_str())]
    }

    fn decode(code: &str, mut f: Fields) -> Result<bool, Malformed> {
        if code == "ok" { Ok(f.u32("freed")? > 0) } else { Err(Malformed::new("code of unbind")) }
    }
}
