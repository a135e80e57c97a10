//! `unstage`: removes what was staged in vain.

use bytes::Bytes;
use posthaste_model::Suffix;

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("unstage", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "staging:{p}"],
    args: ["request id", "epoch", "suffix, or empty for the oldest silent one",
        "upload id, or empty for whichever there is"],
    codes: ["done", "more", "epoch"]);

/// Removes staged parcels, 500 a call.
#[derive(Debug, Clone)]
pub struct Unstage<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which order; `None` for the oldest that has been silent for 15 minutes.
    pub suffix: Option<&'a Suffix>,
    /// Only when this upload holds it; `None` for whichever does.
    pub upload: Option<&'a str>,
}

/// How far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unstaged {
    /// Finished with this order, or there was none, or another upload holds it.
    Done(Option<String>),
    /// Call again.
    More(String),
}

impl Script for Unstage<'_> {
    type Reply = Unstaged;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.staging()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.suffix.map_or("", Suffix::as_str)), arg_text(self.upload.unwrap_or_default())]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Unstaged, Malformed> {
        let suffix = f.text("suffix")?;
        match code {
            "done" => Ok(Unstaged::Done((!suffix.is_empty()).then_some(suffix))),
            "more" => Ok(Unstaged::More(suffix)),
            _ => Err(Malformed::new("code of unstage")),
        }
    }
}
