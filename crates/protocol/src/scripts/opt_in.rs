//! `opt_in`: a person wants messages again.

use bytes::{BufMut, Bytes, BytesMut};
use posthaste_model::{Channel, Reason};

use crate::keys::PartitionKeys;
use crate::record::{AddressKey, Notice, SuppressionId};
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("opt_in", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}", "suppressed:{p}:<channel>",
           "consent:{p}:<channel>"],
    args: ["request id", "epoch", "check value of the address key (16 bytes)", "channel", "field (16 bytes)",
           "notice (15 bytes), clock p, h or -", "reasons it may delete, 2 bytes each",
           "1: remember it although nothing is known of the address, so that an earlier opt-out is known when it comes late"],
    codes: ["ok", "not_found", "repeated", "outdated", "other_reason", "unreadable", "wrong_key", "wrong_epoch"]);

/// Deletes the entry of a person's own opt-out, and the provider's entry for the same reason.
#[derive(Debug, Clone)]
pub struct OptIn<'a> {
    /// Keys of the partition that stores all suppressions.
    pub keys: &'a PartitionKeys,
    /// The key used to hash addresses.
    pub key: &'a AddressKey,
    /// The channel.
    pub channel: &'a Channel,
    /// The entry.
    pub id: SuppressionId,
    /// The opt-in, and when it was said.
    pub notice: Notice,
    /// The reasons whose entries are deleted.
    pub reasons: &'a [Reason],
    /// Whether to remember it even if nothing is known of the address.
    pub remember: bool,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptedIn {
    /// The address was taken off the list.
    Deleted,
    /// It is not on the list.
    NotFound,
    /// The notice was received before; nothing changed.
    Repeated,
    /// The person opted out after it was said, or it can't be proved that they did not; nothing changed.
    Outdated,
    /// It stays on the list for this reason.
    OtherReason(Reason),
    /// A record can't be read; nothing changed.
    Unreadable,
    /// The database hashes addresses with another key.
    WrongKey,
}

impl ScriptCall for OptIn<'_> {
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

    fn decode(code: &str, mut f: ReplyFields) -> Result<OptedIn, Malformed> {
        Ok(match code {
            "ok" => OptedIn::Deleted,
            "not_found" => OptedIn::NotFound,
            "repeated" => OptedIn::Repeated,
            "outdated" => OptedIn::Outdated,
            "other_reason" => {
                let code = u16::try_from(f.u64("reason")?).map_err(|_| Malformed::new("reason"))?;
                OptedIn::OtherReason(Reason::from_code(code))
            }
            "unreadable" => OptedIn::Unreadable,
            "wrong_key" => OptedIn::WrongKey,
            _ => return Err(Malformed::new("code of opt_in")),
        })
    }
}
