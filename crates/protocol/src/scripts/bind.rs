//! `bind`: ties an idempotency key to a suffix.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::Suffix;

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("bind", drains: false,
    keys: ["idem:{<owner>:<key>}"],
    args: ["request id", "suffix", "digest (12 bytes)", "time to live in ms"],
    codes: ["bound", "same", "other"]);

/// Ties a key to a suffix and a body.
#[derive(Debug, Clone)]
pub struct Bind<'a> {
    /// Who owns the key.
    pub owner: &'a str,
    /// Digest of the key in hex: the client's own words are in no key name.
    pub key_digest: &'a str,
    /// The suffix a new order would get.
    pub suffix: &'a Suffix,
    /// Digest of the body.
    pub digest: [u8; 12],
    /// How long the tie lasts.
    pub ttl: Duration,
}

/// What the key is tied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// To the suffix given, by this call or by an earlier try of it.
    Fresh,
    /// To the suffix of an earlier request with the same body.
    Same(Suffix),
    /// To another body.
    Other,
}

/// Reads what a key holds: the suffix it is tied to, and the digest of the body. The mark of a shared tie is passed over.
///
/// # Errors
/// [`Malformed`] when it is no tie.
pub fn decode_tie(held: &[u8]) -> Result<(Suffix, [u8; 12]), Malformed> {
    let malformed = || Malformed::new("idempotency key");
    let (digest, suffix) = held.split_first_chunk::<12>().ok_or_else(malformed)?;
    let suffix = std::str::from_utf8(suffix).map_err(|_| malformed())?;
    let suffix = suffix.strip_suffix('+').unwrap_or(suffix).parse().map_err(|_| malformed())?;
    Ok((suffix, *digest))
}

impl Script for Bind<'_> {
    type Reply = Bound;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![Keys::idempotency(self.owner, self.key_digest)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.suffix.as_str()), Bytes::copy_from_slice(&self.digest), arg(self.ttl.as_millis())]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Bound, Malformed> {
        Ok(match code {
            "bound" => Bound::Fresh,
            "same" => Bound::Same(f.text("suffix")?.parse().map_err(|_| Malformed::new("suffix"))?),
            "other" => Bound::Other,
            _ => return Err(Malformed::new("code of bind")),
        })
    }
}
