//! `opt_in`: a person wants messages again.

use bytes::{BufMut, Bytes, BytesMut};
use posthaste_model::{Channel, Reason};

use crate::keys::Keys;
use crate::record::{AddressKey, Notice, SuppressionId};
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("opt_in", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}", "suppressed:{p}:<channel>",
           "consent:{p}:<channel>"],
    args: ["request id", "epoch", "check value of the address key (16 bytes)", "channel", "field (16 bytes)",
           "notice (15 bytes), clock p, h or -", "reasons it may lift, 2 bytes each",
           "1: remember it although nothing is known of the address, so that an earlier opt-out is known when it comes late"],
    codes: ["ok", "gone", "again", "older", "other", "bad", "key", "epoch"]);

/// Lifts what a person's own opt-out put on a list, and what the provider said for the same reason.
#[derive(Debug, Clone)]
pub struct OptIn<'a> {
    /// Keys of the partition that holds all suppressions.
    pub keys: &'a Keys,
    /// The key under which addresses are hashed.
    pub key: &'a AddressKey,
    /// The channel.
    pub channel: &'a Channel,
    /// Which entry.
    pub id: SuppressionId,
    /// What the person said, and when.
    pub notice: Notice,
    /// Entries of these reasons are lifted.
    pub reasons: &'a [Reason],
    /// Whether it is remembered although nothing is known of the address.
    pub remember: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptedIn {
    /// The address is off the list.
    Lifted,
    /// It is not on the list.
    Gone,
    /// The notice was heard before; nothing has changed.
    Repeated,
    /// The person opted out after it was said, or it can't be proved that they did not; nothing has changed.
    Older,
    /// It stays on the list for this reason.
    OtherReason(Reason),
    /// A record can't be read; nothing has changed.
    Bad,
    /// Addresses are hashed under another key.
    OtherKey,
}

impl Script for OptIn<'_> {
    type Reply = OptedIn;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.address_key(), k.suppressed(self.channel), k.consent(self.channel)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut reasons = BytesMut::with_capacity(2 * self.reasons.len());
        self.reasons.iter().for_each(|reason| reasons.put_u16(reason.code()));
        vec![
            Bytes::copy_from_slice(&self.key.check()),
            arg_text(self.channel.as_str()),
            Bytes::copy_from_slice(self.id.as_bytes()),
            Bytes::copy_from_slice(&self.notice.encode()),
            reasons.freeze(),
            arg_text(if self.remember { "1" } else { "0" }),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<OptedIn, Malformed> {
        Ok(match code {
            "ok" => OptedIn::Lifted,
            "gone" => OptedIn::Gone,
            "again" => OptedIn::Repeated,
            "older" => OptedIn::Older,
            "other" => {
                let code = u16::try_from(f.u64("reason")?).map_err(|_| Malformed::new("reason"))?;
                OptedIn::OtherReason(Reason::from_code(code))
            }
            "bad" => OptedIn::Bad,
            "key" => OptedIn::OtherKey,
            _ => return Err(Malformed::new("code of opt_in")),
        })
    }
}
