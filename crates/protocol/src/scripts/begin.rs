//! `begin`: marks rows as sending. No byte leaves for a row before this answered that it is begun.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::Channel;

use super::{ParcelCode, ParcelRef};
use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed, Value};

contract!("begin", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "token:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "send window in ms", "rows of one parcel that may share a token, 0 for no tokens",
        "partitions of the database", "member, fence, rows (row 2 bytes, attempt 1 byte; ascending)"],
    codes: ["ok", "epoch"]);

/// Begins rows of parcels the caller holds.
#[derive(Debug, Clone)]
pub struct Begin<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// How long the sends may take.
    pub send_window: Duration,
    /// Rows of one parcel that may share a token; 0 for no tokens.
    pub rows_a_token: u16,
    /// Partitions of the database.
    pub partitions: u32,
    /// Parcels with (row, attempt), rows ascending; 200 parcels and 2,000 rows at most.
    pub parcels: &'a [(ParcelRef, Vec<(u16, u8)>)],
}

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowBegun {
    /// It is sending under this attempt, with this token if one was asked for.
    Begun {
        /// The token.
        token: u32,
    },
    /// Another attempt is recorded: nothing changed.
    OtherAttempt,
    /// It is final, or unresolved: nothing changed.
    Final,
    /// There is no such row.
    NoRow,
}

impl Script for Begin<'_> {
    type Reply = Vec<(ParcelCode, Vec<RowBegun>)>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.lease(c), k.token(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![
            arg_text(self.channel.as_str()),
            arg(self.send_window.as_millis()),
            arg(self.rows_a_token),
            arg(self.partitions),
        ];
        for (parcel, rows) in self.parcels {
            let packed: Vec<u8> =
                rows.iter().flat_map(|(row, attempt)| [row.to_be_bytes()[0], row.to_be_bytes()[1], *attempt]).collect();
            args.extend([arg(&parcel.member), arg(parcel.fence), Bytes::from(packed)]);
        }
        args
    }

    fn decode(code: &str, mut f: Fields) -> Result<Self::Reply, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of begin"));
        }
        f.array("parcels")?.into_iter().map(read_parcel).collect()
    }
}

fn read_parcel(value: Value) -> Result<(ParcelCode, Vec<RowBegun>), Malformed> {
    let mut f = Fields::new(value.array("parcel")?);
    let code = ParcelCode::read(&f.text("parcel code")?)?;
    let (letters, tokens) = (f.bytes("letters")?, f.bytes("tokens")?);
    let rows = letters.iter().enumerate().map(|(i, letter)| {
        Ok(match letter {
            b'b' => {
                let token = tokens.get(i * 4..i * 4 + 4).map_or(0, |t| u32::from_be_bytes([t[0], t[1], t[2], t[3]]));
                RowBegun::Begun { token }
            }
            b'a' => RowBegun::OtherAttempt,
            b'f' => RowBegun::Final,
            b'x' => RowBegun::NoRow,
            _ => return Err(Malformed::new("letter of begin")),
        })
    });
    Ok((code, rows.collect::<Result<_, _>>()?))
}
