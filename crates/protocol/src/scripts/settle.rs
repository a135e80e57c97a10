//! `settle`: reports what became of attempts.

use bytes::Bytes;
use posthaste_model::{Channel, Reason, Verdict};

use super::{ParcelCode, ParcelRef};
use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("settle", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel",
        "member, fence, 1 to leave the lease, reports (row 2 bytes, attempt 1, verdict 1, reason 2, value 4; ascending)"],
    codes: ["ok", "epoch"]);

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Row of the parcel.
    pub row: u16,
    /// The attempt spoken of.
    pub attempt: u8,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Of `Retry` and `NotSent`: ms from now before which the row is not begun again. Of `Part`: the progress.
    pub value: u32,
}

/// Reports on one parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Which parcel, under which fence.
    pub parcel: ParcelRef,
    /// Whether the caller is done with it.
    pub leave: bool,
    /// Its reports, rows ascending.
    pub reports: Vec<Report>,
}

/// Settles attempts.
#[derive(Debug, Clone)]
pub struct Settle<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// 200 parcels and 2,000 reports at most.
    pub settlements: &'a [Settlement],
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// The row changed.
    Applied,
    /// The row changed: the report came late, and says the message was taken.
    Evidence,
    /// Nothing new.
    Known,
    /// Refused: it speaks of an attempt that is not the recorded one.
    Stale,
}

/// What settling did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Orders whose last row became final.
    pub ended: u64,
    /// A code a parcel, and what became of each report.
    pub parcels: Vec<(ParcelCode, Vec<Reported>)>,
}

impl Script for Settle<'_> {
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
                packed.extend(report.row.to_be_bytes());
                packed.extend([report.attempt, report.verdict.letter()]);
                packed.extend(report.reason.code().to_be_bytes());
                packed.extend(report.value.to_be_bytes());
            }
            let ParcelRef { member, fence } = &settlement.parcel;
            args.extend([arg(member), arg(fence), arg(u8::from(settlement.leave)), Bytes::from(packed)]);
        }
        args
    }

    fn decode(code: &str, mut f: Fields) -> Result<Settled, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of settle"));
        }
        let ended = f.u64("ended")?;
        let mut parcels = Vec::new();
        for value in f.array("parcels")? {
            let mut p = Fields::new(value.array("parcel")?);
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
        b'n' => Reported::Known,
        b's' => Reported::Stale,
        _ => return Err(Malformed::new("letter of a report")),
    })
}
