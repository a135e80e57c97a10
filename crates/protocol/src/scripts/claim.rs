//! `claim`: takes parcels of a channel under a lease.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, CourierId, Lane, Member, Suffix, UnixMs};

use crate::keys::Keys;
use crate::record::{Head, Inline, Outcomes};
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("claim", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "ready:{p}:<channel>:urgent",
        "ready:{p}:<channel>:bulk", "leased:{p}:<channel>", "lease:{p}:<channel>", "request:{p}:<channel>",
        "couriers:{p}:<channel>", "channels:{p}", "crashes:{p}:<channel>", "unresolved:{p}:<channel>",
        "parked:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "courier id", "number of the request, growing", "lease in ms",
        "parcels at most", "bulk parcels at most", "rows to begin at once at most",
        "send window in ms: what is begun must have ended by now + this",
        "1 when the courier has nothing else in hand: should it die now, what is taken alone is the cause"],
    codes: ["ok", "again", "old", "epoch"]);

/// Parcels of one call at most.
pub const MOST_PARCELS: u32 = 200;

/// Asks for parcels.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// For which channel.
    pub channel: &'a Channel,
    /// Who asks.
    pub courier: &'a CourierId,
    /// Number of the request: one higher after every answer, the same for a repeat.
    pub number: u64,
    /// How long the lease lasts.
    pub lease: Duration,
    /// Parcels at most, 200 at most.
    pub limit: u32,
    /// Bulk parcels among them at most.
    pub bulk_limit: u32,
    /// Rows of inline orders to begin at once at most.
    pub begin: u32,
    /// How long a send begun here may take.
    pub send_window: Duration,
    /// Whether the courier has nothing else in hand: should it die now, a parcel taken alone is the cause.
    pub empty_handed: bool,
}

/// A parcel under the caller's lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which one.
    pub member: Member,
    /// It may be what its couriers died of: claimed alone.
    pub careful: bool,
    /// Head of its order.
    pub head: Head,
    /// Content and rows, when they are in the history; else the caller fetches `text:` and `parcel:`.
    pub inline: Option<Inline>,
    /// Outcomes after this call, when they are in the history; else the caller fetches `outcome:`.
    pub outcomes: Option<Outcomes>,
}

/// What a claim brought.
#[derive(Debug)]
pub struct Taken {
    /// Whether this repeats an earlier answer.
    pub again: bool,
    /// The next due time, end of a lease or end of a send on this channel; past when more is to be rung or swept now.
    pub next: Option<UnixMs>,
    /// Ready moment of the first parcel still waiting in ready; may lie ahead.
    pub oldest: Option<UnixMs>,
    /// Parcels still waiting, now or later.
    pub waiting: u64,
    /// Parcels rung.
    pub rung: u64,
    /// Delivery keys somebody had made persistent.
    pub persisted: u64,
    /// Entries of `due` without a record, dropped.
    pub lost: u64,
    /// Parcels whose order was cancelled or over.
    pub closed: u64,
    /// The parcels.
    pub parcels: Vec<Claimed>,
    /// Parcels under the lease whose history this program can't read after all: their holder parks them, or hands them back
    /// when they are of a later version.
    pub unreadable: Vec<Unreadable>,
    /// Orders and parcels of a later version, left to a newer program. Nothing of them was begun.
    pub newer: u64,
    /// One of them, to be named.
    pub newer_suffix: Option<Suffix>,
}

/// A parcel that a claim brought and that can't be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which one.
    pub member: Member,
    /// Why.
    pub flaw: Malformed,
}

/// The reply of a claim.
#[derive(Debug)]
pub enum Reply {
    /// Parcels, perhaps none.
    Taken(Taken),
    /// A smaller number than the last: an old copy.
    Old,
}

impl Script for Claim<'_> {
    type Reply = Reply;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![
            k.epoch(),
            k.fence(),
            k.due(Lane::Urgent),
            k.due(Lane::Bulk),
            k.ready(c, Lane::Urgent),
            k.ready(c, Lane::Bulk),
            k.leased(c),
            k.lease(c),
            k.request(c),
            k.couriers(c),
            k.channels(),
            k.crashes(c),
            k.unresolved(c),
            k.parked(c),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.channel.as_str()),
            arg_text(self.courier.as_str()),
            arg(self.number),
            arg(self.lease.as_millis()),
            arg(self.limit.min(MOST_PARCELS)),
            arg(self.bulk_limit.min(MOST_PARCELS)),
            arg(self.begin),
            arg(self.send_window.as_millis()),
            arg(u8::from(self.empty_handed)),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Reply, Malformed> {
        if code == "old" {
            return Ok(Reply::Old);
        }
        if code != "ok" && code != "again" {
            return Err(Malformed::new("code of claim"));
        }
        let moment = |ms: u64| (ms > 0).then_some(UnixMs(ms));
        let mut taken = Taken {
            again: code == "again",
            next: moment(f.u64("next")?),
            oldest: moment(f.u64("oldest")?),
            waiting: f.u64("waiting")?,
            rung: f.u64("rung")?,
            persisted: f.u64("persisted")?,
            lost: f.u64("lost")?,
            closed: f.u64("closed")?,
            parcels: Vec::new(),
            unreadable: Vec::new(),
            newer: 0,
            newer_suffix: None,
        };
        for entry in f.array("parcels")? {
            let mut entry = Fields::new(entry.array("parcel")?);
            // A name that is none of ours can have no record; its lease comes to its end.
            let Ok(member) = entry.text("member")?.parse::<Member>() else { continue };
            match read_claimed(member.clone(), entry) {
                Ok(claimed) => taken.parcels.push(claimed),
                Err(flaw) => taken.unreadable.push(Unreadable { member, flaw }),
            }
        }
        for name in f.array("newer")? {
            taken.newer += 1;
            // Orders that could not be rung, and parcels.
            let name = name.text("newer").unwrap_or_default();
            let parcel = || name.parse().ok().map(|member: Member| member.suffix);
            taken.newer_suffix = taken.newer_suffix.or_else(|| name.parse().ok().or_else(parcel));
        }
        Ok(Reply::Taken(taken))
    }
}

fn read_claimed(member: Member, mut f: Fields) -> Result<Claimed, Malformed> {
    let careful = f.u64("mark")? == 1;
    let mut fields = f.array("fields")?.into_iter();
    let (mut head, mut record) = (None, None);
    let mut pieces: Vec<(u32, Bytes)> = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let name = name.bytes("field")?;
        match name.as_ref() {
            b"h" => head = Some(Head::decode(&value.bytes("head")?)?),
            b"o" => record = Some(value.bytes("outcomes")?),
            [b'b', digits @ ..] => {
                let n = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
                pieces.push((n.ok_or(Malformed::new("piece"))?, value.bytes("piece")?));
            }
            _ => {}
        }
    }
    let head = head.ok_or(Malformed::new("head"))?;
    if !head.inline {
        return Ok(Claimed { member, careful, head, inline: None, outcomes: None });
    }
    pieces.sort_by_key(|(n, _)| *n);
    let blob: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
    let inline = Inline::decode(&blob)?;
    let rows = u32::try_from(inline.rows.len()).map_err(|_| Malformed::new("rows"))?;
    if head.channels.iter().map(|(_, rows)| *rows).sum::<u32>() != rows {
        return Err(Malformed::new("rows"));
    }
    let outcomes = Outcomes::decode(record.as_deref(), rows, head.due)?;
    Ok(Claimed { member, careful, head, inline: Some(inline), outcomes: Some(outcomes) })
}
