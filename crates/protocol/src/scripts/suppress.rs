//! `suppress`: puts addresses on a suppression list.

use bytes::{BufMut, Bytes, BytesMut};
use posthaste_model::{Channel, Reason};

use crate::keys::PartitionKeys;
use crate::record::{AddressKey, Notice, SuppressionSource, SuppressionId};
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("suppress", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}", "suppressed:{p}:<channel>",
           "consent:{p}:<channel>"],
    args: ["request id", "epoch", "check value of the address key (16 bytes)", "channel",
           "entries: field (16 bytes), reason (2), source, strikes that suffice (1: at once), whose, notice (15), clock p, a or -"],
    codes: ["ok", "wrong_key", "wrong_epoch"]);

/// Maximum number of entries per call.
pub const MOST_ENTRIES: usize = 500;

/// An address to be put on a list.
#[derive(Debug, Clone)]
pub struct NewSuppression {
    /// Its hash.
    pub id: SuppressionId,
    /// Whether it goes on a sender's list; otherwise on the channel's.
    pub of_sender: bool,
    /// The reason.
    pub reason: Reason,
    /// The source.
    pub source: SuppressionSource,
    /// Number of strikes needed; 1: at once.
    pub after: u8,
    /// The notice, and when it was said.
    pub notice: Notice,
}

/// Puts addresses on lists of a channel, or counts strikes.
#[derive(Debug, Clone)]
pub struct PutSuppressions<'a> {
    /// Keys of the partition that stores all suppressions.
    pub keys: &'a PartitionKeys,
    /// The key used to hash addresses.
    pub key: &'a AddressKey,
    /// The channel.
    pub channel: &'a Channel,
    /// 1 to 500 entries.
    pub entries: &'a [NewSuppression],
}

/// The result for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppressed {
    /// It was added to the list.
    Added,
    /// It was already on the list.
    AlreadyListed,
    /// A strike was counted; the address still gets messages.
    Struck,
    /// A strike was counted within the last 20 hours; nothing changed.
    CountedBefore,
    /// The notice was received before, and its entry deleted since; nothing changed.
    Repeated,
    /// The person opted in after it was said; nothing changed.
    Outdated,
    /// The existing record can't be read; nothing changed.
    Unreadable,
}

impl ScriptCall for PutSuppressions<'_> {
    /// One per entry, in their order; `None` when the database hashes addresses with another key.
    type Reply = Option<Vec<Suppressed>>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.address_key(), k.suppressed(self.channel), k.consent(self.channel)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![Bytes::copy_from_slice(&self.key.check()), arg_text(self.channel.as_str())];
        args.extend(self.entries.iter().map(|entry| {
            let mut packed = BytesMut::with_capacity(36);
            packed.put_slice(entry.id.as_bytes());
            packed.put_u16(entry.reason.code());
            packed.put_u8(entry.source.letter());
            packed.put_u8(entry.after);
            packed.put_u8(if entry.of_sender { b's' } else { b'c' });
            packed.put_slice(&entry.notice.encode());
            packed.freeze()
        }));
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Self::Reply, Malformed> {
        if code == "wrong_key" {
            return Ok(None);
        }
        if code != "ok" {
            return Err(Malformed::new("code of suppress"));
        }
        let letters = f.bytes("letters")?;
        let read = |letter: &u8| {
            Ok(match letter {
                b'n' => Suppressed::Added,
                b'a' => Suppressed::AlreadyListed,
                b's' => Suppressed::Struck,
                b'c' => Suppressed::CountedBefore,
                b'r' => Suppressed::Repeated,
                b'o' => Suppressed::Outdated,
                b'x' => Suppressed::Unreadable,
                _ => return Err(Malformed::new("letter of suppress")),
            })
        };
        letters.iter().map(read).collect::<Result<_, _>>().map(Some)
    }
}
