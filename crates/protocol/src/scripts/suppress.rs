//! `suppress`: puts addresses on a list of those who get nothing.

use bytes::{BufMut, Bytes, BytesMut};
use posthaste_model::{Channel, Reason};

use crate::keys::Keys;
use crate::record::{AddressKey, Notice, Source, SuppressionId};
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("suppress", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}", "suppressed:{p}:<channel>",
           "consent:{p}:<channel>"],
    args: ["request id", "epoch", "check value of the address key (16 bytes)", "channel",
           "entries: field (16 bytes), reason (2), source, strikes that suffice (1: at once), whose, notice (15), clock p, a or -"],
    codes: ["ok", "key", "epoch"]);

/// Entries of one call at most.
pub const MOST_ENTRIES: usize = 500;

/// An address to be put on a list.
#[derive(Debug, Clone)]
pub struct NewSuppression {
    /// Its hash.
    pub id: SuppressionId,
    /// Whether it is the list of one sender; else the channel's.
    pub of_sender: bool,
    /// Why.
    pub reason: Reason,
    /// Who says so.
    pub source: Source,
    /// So many strikes suffice; 1: at once.
    pub after: u8,
    /// What says so, and when it was said.
    pub notice: Notice,
}

/// Puts addresses on lists of a channel, or counts strikes.
#[derive(Debug, Clone)]
pub struct PutSuppressions<'a> {
    /// Keys of the partition that holds all suppressions.
    pub keys: &'a Keys,
    /// The key under which the addresses were hashed.
    pub key: &'a AddressKey,
    /// The channel.
    pub channel: &'a Channel,
    /// 1 to 500 entries.
    pub entries: &'a [NewSuppression],
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppressed {
    /// It is on the list now, and was not before.
    Added,
    /// It was on the list.
    Again,
    /// A strike was counted; the address still gets everything.
    Struck,
    /// A strike was counted within the last 20 hours; nothing has changed.
    CountedBefore,
    /// The notice was heard before, and its entry lifted since; nothing has changed.
    Repeated,
    /// The person opted in after it was said; nothing has changed.
    Outdated,
    /// There is a record that can't be read; nothing has changed.
    Unreadable,
}

impl Script for PutSuppressions<'_> {
    /// One an entry, in their order; `None` when addresses are hashed under another key.
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

    fn decode(code: &str, mut f: Fields) -> Result<Self::Reply, Malformed> {
        if code == "key" {
            return Ok(None);
        }
        if code != "ok" {
            return Err(Malformed::new("code of suppress"));
        }
        let letters = f.bytes("letters")?;
        let read = |letter: &u8| {
            Ok(match letter {
                b'n' => Suppressed::Added,
                b'a' => Suppressed::Again,
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
