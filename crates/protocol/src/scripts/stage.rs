//! `stage`: stores parcels of a big order that is still streaming in.

use bytes::Bytes;
use posthaste_model::{Channel, Suffix};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("stage", drains: false,
    keys: ["epoch:{p}", "fence:{p}", "staging:{p}"],
    args: ["request id", "epoch", "suffix", "upload id", "1 for the first call, which opens",
        "content of the order (with the first call, else empty)", "channel, number, parcel"],
    codes: ["ok", "gone", "exists", "hole", "epoch"]);

/// Stores parcels.
#[derive(Debug, Clone)]
pub struct Stage<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which order.
    pub suffix: &'a Suffix,
    /// Names the upload: another id that opens takes over.
    pub upload: &'a str,
    /// The packed content, with the first call.
    pub open: Option<&'a [u8]>,
    /// Channel, number and packed rows; 100 at most.
    pub parcels: &'a [(Channel, u32, Vec<u8>)],
}

/// What staging did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staged {
    /// Stored.
    Ok,
    /// Not open (any more), or another upload took over: begin again.
    Gone,
    /// There is an order of this suffix.
    Exists,
    /// A parcel before these is missing.
    Hole,
}

impl Script for Stage<'_> {
    type Reply = Staged;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.staging()]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![
            arg_text(self.suffix.as_str()),
            arg_text(self.upload),
            arg(u8::from(self.open.is_some())),
            Bytes::copy_from_slice(self.open.unwrap_or_default()),
        ];
        for (channel, n, rows) in self.parcels {
            args.extend([arg_text(channel.as_str()), arg(n), Bytes::copy_from_slice(rows)]);
        }
        args
    }

    fn decode(code: &str, _: Fields) -> Result<Staged, Malformed> {
        Ok(match code {
            "ok" => Staged::Ok,
            "gone" => Staged::Gone,
            "exists" => Staged::Exists,
            "hole" => Staged::Hole,
            _ => return Err(Malformed::new("code of stage")),
        })
    }
}
