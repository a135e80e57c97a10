//! `receipt`: a late word from outside about one row.

use bytes::Bytes;
use posthaste_model::{Channel, Member, Reason};

use super::settle::{Reported, read_letter};
use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("receipt", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "unresolved:{p}:<channel>", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member", "row", "attempt the receipt speaks of",
        "s taken, d delivered, f not delivered", "reason"],
    codes: ["ok", "gone", "newer", "bad", "final", "epoch"]);

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// The provider took it.
    Sent,
    /// It arrived.
    Delivered,
    /// It did not arrive after all.
    Failed,
}

/// A late word.
#[derive(Debug, Clone)]
pub struct Receipt<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// About which parcel.
    pub member: &'a Member,
    /// About which row.
    pub row: u16,
    /// About which attempt.
    pub attempt: u8,
    /// What it says.
    pub word: Word,
    /// Why.
    pub reason: Reason,
}

impl Script for Receipt<'_> {
    /// `None` when there is no such row, or its record can't be read.
    type Reply = Option<Reported>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.unresolved(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let word = match self.word {
            Word::Sent => "s",
            Word::Delivered => "d",
            Word::Failed => "f",
        };
        vec![
            arg_text(self.channel.as_str()),
            arg(self.member),
            arg(self.row),
            arg(self.attempt),
            arg_text(word),
            arg(self.reason.code()),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Self::Reply, Malformed> {
        match code {
            "ok" => {
                let letter = f.bytes("letter")?;
                read_letter(*letter.first().ok_or(Malformed::new("letter"))?).map(Some)
            }
            "gone" | "newer" | "bad" | "final" => Ok(None),
            _ => Err(Malformed::new("code of receipt")),
        }
    }
}
