//! `begin`: marks deliveries as sending. A courier sends nothing for a delivery before this reports it as begun.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::Channel;

use super::{ParcelCode, ParcelRef};
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed, ReplyValue};

contract!("begin", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "token:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "send window in ms", "deliveries of one parcel that may share a token, 0 for no tokens",
        "partitions of the database", "member, fence, deliveries (delivery 2 bytes, attempt 1 byte; ascending)"],
    codes: ["ok", "wrong_epoch"]);

/// Begins deliveries of parcels the caller holds.
#[derive(Debug, Clone)]
pub struct Begin<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// How long the sends may take.
    pub send_window: Duration,
    /// How many deliveries of one parcel may share a token; 0 for no tokens.
    pub deliveries_a_token: u16,
    /// Number of partitions of the database.
    pub partitions: u32,
    /// Parcels with (delivery, attempt), deliveries ascending; at most 200 parcels and 2,000 deliveries.
    pub parcels: &'a [(ParcelRef, Vec<(u16, u8)>)],
}

/// The result for one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryBegun {
    /// It is sending under this attempt, with this token if one was requested.
    Begun {
        /// The token.
        token: u32,
    },
    /// The record has another attempt: nothing changed.
    OtherAttempt,
    /// It is final, or unresolved: nothing changed.
    Final,
    /// There is no such delivery.
    NoDelivery,
}

impl ScriptCall for Begin<'_> {
    type Reply = Vec<(ParcelCode, Vec<DeliveryBegun>)>;

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
            arg(self.deliveries_a_token),
            arg(self.partitions),
        ];
        for (parcel, deliveries) in self.parcels {
            let packed: Vec<u8> =
                deliveries.iter().flat_map(|(delivery, attempt)| [delivery.to_be_bytes()[0], delivery.to_be_bytes()[1], *attempt]).collect();
            args.extend([arg(&parcel.parcel_id), arg(parcel.fence), Bytes::from(packed)]);
        }
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Self::Reply, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of begin"));
        }
        f.array("parcels")?.into_iter().map(read_parcel).collect()
    }
}

fn read_parcel(value: ReplyValue) -> Result<(ParcelCode, Vec<DeliveryBegun>), Malformed> {
    let mut f = ReplyFields::new(value.array("parcel")?);
    let code = ParcelCode::read(&f.text("parcel code")?)?;
    let (letters, tokens) = (f.bytes("letters")?, f.bytes("tokens")?);
    let deliveries = letters.iter().enumerate().map(|(i, letter)| {
        Ok(match letter {
            b'b' => {
                let token = tokens.get(i * 4..i * 4 + 4).map_or(0, |t| u32::from_be_bytes([t[0], t[1], t[2], t[3]]));
                DeliveryBegun::Begun { token }
            }
            b'a' => DeliveryBegun::OtherAttempt,
            b'f' => DeliveryBegun::Final,
            b'x' => DeliveryBegun::NoDelivery,
            _ => return Err(Malformed::new("letter of begin")),
        })
    });
    Ok((code, deliveries.collect::<Result<_, _>>()?))
}
