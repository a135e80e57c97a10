//! `limit_sms`: takes the messages of an order out of the quotas of a channel.

use bytes::Bytes;
use posthaste_model::{Channel, OrderId, UnixMs};

use crate::keys::PartitionKeys;
use crate::record::{KeyId, NoticeId};
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("limit_sms", drains: false,
    keys: ["quota:{<channel>}:<day>", "quota:{<channel>}:<hour>"],
    args: ["request id", "what: take, return, or check (is anything left?)", "order id", "segments of the order",
           "segments a day; 0: without limit", "API key", "messages of the order",
           "messages an hour of a key; 0: without limit", "messages an hour to a prefix; 0: without limit",
           "random id of the taking (8 bytes)", "prefixes: id (8 bytes), messages"],
    codes: ["ok", "already_done", "day_limit", "key_limit", "prefix_limit"]);

/// Maximum number of prefixes per call.
pub const MOST_PREFIXES: usize = 500;

/// What to do with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaStep {
    /// Take it for an order that is about to be stored.
    Take,
    /// Return it because the order was not stored.
    Return,
    /// Only check whether it would be granted.
    Check,
}

/// The limits; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SmsLimits {
    /// Segments per day for the installation.
    pub segments_a_day: u64,
    /// Messages per hour for one API key.
    pub messages_an_hour: u64,
    /// Messages per hour to numbers with one prefix.
    pub to_prefix_an_hour: u64,
}

/// Takes a share, returns it, or checks whether it would be granted.
#[derive(Debug, Clone)]
pub struct LimitSms<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// When the day began, which identifies it.
    pub day: UnixMs,
    /// When the hour began.
    pub hour: UnixMs,
    /// What to do.
    pub share: QuotaStep,
    /// The order.
    pub order_id: &'a OrderId,
    /// Number of segments of all its messages.
    pub segments: u64,
    /// Number of its messages.
    pub messages: u64,
    /// The API key of the order.
    pub key: &'a KeyId,
    /// The limits.
    pub limits: SmsLimits,
    /// Random id of the taking, also used to return it.
    pub taking: [u8; 8],
    /// Messages by prefix, at most 500.
    pub prefixes: &'a [(NoticeId, u32)],
}

/// The result. Numbers are those of the day or the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Done; segments of the day before it and with it.
    Done {
        /// Before.
        before: u64,
        /// With it.
        now: u64,
    },
    /// It already had its share, or has none to return; segments of the day.
    AlreadyDone(u64),
    /// Too few segments are left in the day.
    DayLimit(u64),
    /// Too few messages are left in the hour for the API key.
    KeyLimit(u64),
    /// Too few messages are left in the hour for a prefix.
    PrefixLimit(u64),
}

impl ScriptCall for LimitSms<'_> {
    type Reply = Quota;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![PartitionKeys::quota(self.channel, "d", self.day), PartitionKeys::quota(self.channel, "h", self.hour)]
    }

    fn args(&self) -> Vec<Bytes> {
        let what = match self.share {
            QuotaStep::Take => "take",
            QuotaStep::Return => "return",
            QuotaStep::Check => "check",
        };
        let mut args = vec![
            arg_text(what),
            arg_text(self.order_id.as_str()),
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

    fn decode(code: &str, mut f: ReplyFields) -> Result<Quota, Malformed> {
        let count = f.u64("count")?;
        Ok(match code {
            "ok" => Quota::Done { before: count, now: f.u64("now")? },
            "already_done" => Quota::AlreadyDone(count),
            "day_limit" => Quota::DayLimit(count),
            "key_limit" => Quota::KeyLimit(count),
            "prefix_limit" => Quota::PrefixLimit(count),
            _ => return Err(Malformed::new("code of limit_sms")),
        })
    }
}
