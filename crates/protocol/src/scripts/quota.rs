//! `quota`: takes the messages of an order out of what may be sent on a channel.

use bytes::Bytes;
use posthaste_model::{Channel, Suffix, UnixMs};

use crate::keys::Keys;
use crate::record::{KeyId, NoticeId};
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("quota", drains: false,
    keys: ["quota:{<channel>}:<day>", "quota:{<channel>}:<hour>"],
    args: ["request id", "what: take, return, or look (is anything left?)", "suffix", "segments of the order",
           "segments a day; 0: without limit", "API key", "messages of the order",
           "messages an hour of a key; 0: without limit", "messages an hour to a prefix; 0: without limit",
           "which taking: 8 bytes of chance", "prefixes: id (8 bytes), messages"],
    codes: ["ok", "same", "day", "key", "prefix"]);

/// Prefixes of one call at most.
pub const MOST_PREFIXES: usize = 500;

/// What is to be done with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Taken for an order that is to be stored.
    Take,
    /// Given back by one that was not.
    Return,
    /// Only looked at: would it be given?
    Look,
}

/// What may be sent; 0: without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Segments a day of the installation.
    pub segments_a_day: u64,
    /// Messages an hour of one API key.
    pub messages_an_hour: u64,
    /// Messages an hour to numbers of one prefix.
    pub to_prefix_an_hour: u64,
}

/// Takes a share, gives it back, or looks whether it would be given.
#[derive(Debug, Clone)]
pub struct TakeQuota<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// When the day began, which names it.
    pub day: UnixMs,
    /// When the hour began.
    pub hour: UnixMs,
    /// What to do.
    pub share: Share,
    /// For which order.
    pub suffix: &'a Suffix,
    /// Segments of all its messages.
    pub segments: u64,
    /// Its messages.
    pub messages: u64,
    /// Who gives it.
    pub key: &'a KeyId,
    /// What may be sent.
    pub limits: Limits,
    /// Which taking it is, and which one is given back: chance.
    pub taking: [u8; 8],
    /// Messages by prefix, 500 at most.
    pub prefixes: &'a [(NoticeId, u32)],
}

/// What became of it. Numbers are those of the day, or the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Done; segments of the day before it and with it.
    Done {
        /// Before.
        before: u64,
        /// With it.
        now: u64,
    },
    /// It had its share, or has none to give back; segments of the day.
    Same(u64),
    /// Too few segments are left in the day.
    Day(u64),
    /// Too few messages are left in the hour of the key.
    Key(u64),
    /// Too few messages are left in the hour of a prefix.
    Prefix(u64),
}

impl Script for TakeQuota<'_> {
    type Reply = Quota;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![Keys::quota(self.channel, "d", self.day), Keys::quota(self.channel, "h", self.hour)]
    }

    fn args(&self) -> Vec<Bytes> {
        let what = match self.share {
            Share::Take => "take",
            Share::Return => "return",
            Share::Look => "look",
        };
        let mut args = vec![
            arg_text(what),
            arg_text(self.suffix.as_str()),
            arg(self.segments),
            arg(self.limits.segments_a_day),
            arg_text(self.key.as_str()),
            arg(self.messages),
            arg(self.limits.messages_an_hour),
            arg(self.limits.to_prefix_an_hour),
            Bytes::copy_from_slice(&self.taking),
        ];
        for (prefix, messages) in self.prefixes.iter().take(MOST_PREFIXES) {
            args.push(Bytes::copy_from_slice(prefix.as_bytes()));
            args.push(arg(messages));
        }
        args
    }

    fn decode(code: &str, mut f: Fields) -> Result<Quota, Malformed> {
        let count = f.u64("count")?;
        Ok(match code {
            "ok" => Quota::Done { before: count, now: f.u64("now")? },
            "same" => Quota::Same(count),
            "day" => Quota::Day(count),
            "key" => Quota::Key(count),
            "prefix" => Quota::Prefix(count),
            _ => return Err(Malformed::new("code of quota")),
        })
    }
}
