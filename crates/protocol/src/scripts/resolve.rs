//! `resolve`: decides unresolved deliveries.

use bytes::Bytes;
use posthaste_model::{Channel, CodedReason, ParcelId, ProviderCode, Reason, OutcomeKind};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("resolve", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "unresolved:{p}:<channel>", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member",
        "outcomes (delivery 2 bytes, attempt 1, outcome 1, reason 2, provider's code 4; ascending)"],
    codes: ["ok", "not_found", "newer_version", "unreadable", "cancelled_before_due", "wrong_epoch"]);

/// What to do with an unresolved delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Repeat it, once.
    Retry,
    /// Repeat it under the same token: the provider drops a second copy.
    Repeat,
    /// Leave it unknown.
    Hold(Reason),
    /// Result of a lookup. `Sent`, `Delivered` and `Failed` count; anything else holds.
    Found(OutcomeKind, CodedReason),
}

/// Decides deliveries of one parcel.
#[derive(Debug, Clone)]
pub struct Resolve<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The parcel.
    pub parcel_id: &'a ParcelId,
    /// (delivery, attempt, decision), deliveries ascending.
    pub decisions: &'a [(u16, u8, Decision)],
}

/// The result of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// The delivery changed.
    Applied,
    /// It was decided before.
    NothingNew,
    /// The record has another attempt.
    Stale,
    /// Its one repeat is spent.
    RetryUnconfirmed,
}

/// The reply of resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Orders ended, and the result of each decision.
    Ok {
        /// Orders whose last delivery became final.
        ended: u64,
        /// In the order of the decisions.
        deliveries: Vec<Decided>,
    },
    /// There is no such record, or it can't be read.
    NotFound,
}

impl ScriptCall for Resolve<'_> {
    type Reply = Resolved;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.unresolved(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut packed = Vec::with_capacity(self.decisions.len() * 10);
        for (delivery, attempt, decision) in self.decisions {
            let (letter, reason, code) = match decision {
                Decision::Retry => (b'r', Reason::None, ProviderCode::NONE),
                Decision::Repeat => (b'R', Reason::None, ProviderCode::NONE),
                Decision::Hold(reason) => (b'h', *reason, ProviderCode::NONE),
                Decision::Found(outcome, CodedReason { reason, code }) => match outcome {
                    OutcomeKind::Sent | OutcomeKind::Delivered | OutcomeKind::Failed => {
                        (outcome.letter(), *reason, *code)
                    }
                    _ => (b'h', *reason, ProviderCode::NONE),
                },
            };
            packed.extend(delivery.to_be_bytes());
            packed.extend([*attempt, letter]);
            packed.extend(reason.code().to_be_bytes());
            packed.extend(code.packed().to_be_bytes());
        }
        vec![arg_text(self.channel.as_str()), arg(self.parcel_id), Bytes::from(packed)]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Resolved, Malformed> {
        match code {
            "ok" => {}
            "not_found" | "newer_version" | "unreadable" | "cancelled_before_due" => return Ok(Resolved::NotFound),
            _ => return Err(Malformed::new("code of resolve")),
        }
        let ended = f.u64("ended")?;
        let letters = f.bytes("letters")?;
        let read = |letter: &u8| match letter {
            b'a' => Ok(Decided::Applied),
            b'n' => Ok(Decided::NothingNew),
            b's' => Ok(Decided::Stale),
            b't' => Ok(Decided::RetryUnconfirmed),
            _ => Err(Malformed::new("letter of resolve")),
        };
        Ok(Resolved::Ok { ended, deliveries: letters.iter().map(read).collect::<Result<_, _>>()? })
    }
}
