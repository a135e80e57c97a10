//! `settle`: stores the outcomes of attempts.

use bytes::Bytes;
use posthaste_model::{Channel, Reason, OutcomeKind};

use super::{ParcelCode, ParcelRef};
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("settle", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel",
        "member, fence, 1 to leave the lease, reports (delivery 2 bytes, attempt 1, outcome 1, reason 2, value 4; ascending)"],
    codes: ["ok", "wrong_epoch"]);

/// The outcome of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptReport {
    /// The delivery within the parcel.
    pub delivery: u16,
    /// The attempt it is about.
    pub attempt: u8,
    /// Its outcome.
    pub outcome: OutcomeKind,
    /// The reason.
    pub reason: Reason,
    /// For `Retry` and `NotSent`: ms from now before which the delivery is not begun again. For `Part`: the progress. For
    /// `Failed`: the provider's code, packed.
    pub value: u32,
}

/// The reports on one parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The parcel and its fence.
    pub parcel: ParcelRef,
    /// Whether the caller is done with it.
    pub leave: bool,
    /// Its reports, deliveries ascending.
    pub reports: Vec<AttemptReport>,
}

/// Settles attempts.
#[derive(Debug, Clone)]
pub struct Settle<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// At most 200 parcels and 2,000 reports.
    pub settlements: &'a [Settlement],
}

/// The result for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// The delivery changed.
    Applied,
    /// The delivery changed: the report came late and says that the message was accepted.
    Evidence,
    /// Nothing new.
    NothingNew,
    /// Refused: it is about another attempt than the recorded one.
    Stale,
    /// A receipt only: the record is of a later version, or can't be read. Nothing was written.
    Unreadable,
}

/// The result of settling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Orders whose last delivery became final.
    pub ended: u64,
    /// A code per parcel, and the result for each report.
    pub parcels: Vec<(ParcelCode, Vec<Reported>)>,
}

impl ScriptCall for Settle<'_> {
    type Reply = Settled;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.lease(c), k.unresolved(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![arg_text(self.channel.as_str())];
        for settlement in self.settlements {
            let mut packed = Vec::with_capacity(settlement.reports.len() * 10);
            for report in &settlement.reports {
                packed.extend(report.delivery.to_be_bytes());
                packed.extend([report.attempt, report.outcome.letter()]);
                packed.extend(report.reason.code().to_be_bytes());
                packed.extend(report.value.to_be_bytes());
            }
            let ParcelRef { parcel_id, fence } = &settlement.parcel;
            args.extend([arg(parcel_id), arg(fence), arg(u8::from(settlement.leave)), Bytes::from(packed)]);
        }
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Settled, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of settle"));
        }
        let ended = f.u64("ended")?;
        let mut parcels = Vec::new();
        for value in f.array("parcels")? {
            let mut p = ReplyFields::new(value.array("parcel")?);
            let code = ParcelCode::read(&p.text("parcel code")?)?;
            let letters = p.bytes("letters")?;
            parcels.push((code, letters.iter().map(|l| read_letter(*l)).collect::<Result<_, _>>()?));
        }
        Ok(Settled { ended, parcels })
    }
}

/// Reads the letter of a report.
pub(super) fn read_letter(letter: u8) -> Result<Reported, Malformed> {
    Ok(match letter {
        b'a' => Reported::Applied,
        b'e' => Reported::Evidence,
        b'n' => Reported::NothingNew,
        b's' => Reported::Stale,
        _ => return Err(Malformed::new("letter of a report")),
    })
}
