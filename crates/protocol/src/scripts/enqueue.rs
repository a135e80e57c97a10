//! `enqueue`: accepts an order whole.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, Priority, OnUnknown, OrderId, UnixMs};

use crate::keys::PartitionKeys;
use crate::record::head::encode_channels;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("enqueue", drains: false,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:<priority>", "history:{p}:<order id>", "orders:{p}", "sender:{p}:<sender>",
        "staging:{p}", "channels:{p}"],
    args: ["request id", "epoch", "order id", "due ms, 0 or past for now", "priority",
        "what to do with unknowns: d the channel's default, r repeat once, h hold",
        "not_after ms, 0 for the span after the due time", "span in ms", "digest (12 bytes)",
        "layout: i inline, p parcels", "channels: length of name, name, deliveries (4 bytes), each",
        "recipients without an address, per channel of ARGV 11 (4 bytes each)", "upload id of the staged parcels, empty for an inline order", "field, value"],
    codes: ["due_now", "scheduled", "already_done", "conflict", "expires_before_due", "upload_lost", "incomplete",
        "invalid", "unreadable", "wrong_epoch"]);

/// Accepts an order.
#[derive(Debug, Clone)]
pub struct Enqueue<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// Its order id.
    pub order_id: &'a OrderId,
    /// When it is due; `None` for now.
    pub due: Option<UnixMs>,
    /// Its priority.
    pub priority: Priority,
    /// What to do with unknown deliveries.
    pub on_unknown: OnUnknown,
    /// When it ends; `None` for `span` after the due time.
    pub not_after: Option<UnixMs>,
    /// See `not_after`.
    pub span: Duration,
    /// Digest of the body.
    pub digest: [u8; 12],
    /// Number of deliveries per channel.
    pub channels: &'a [(Channel, u32)],
    /// Number of recipients without an address, per channel.
    pub no_contact: &'a [u32],
    /// The pieces of an inline order; `None` if parcels were staged.
    pub inline: Option<&'a [(String, Vec<u8>)]>,
    /// The upload that staged them; empty for an inline order.
    pub upload: &'a str,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// It is stored.
    Accepted {
        /// Whether an earlier call stored it.
        already_done: bool,
        /// Whether it is due now, as of this call.
        due_now: bool,
        /// When it was accepted.
        accepted: UnixMs,
        /// When it is due.
        due: UnixMs,
        /// When a courier of each channel was last seen, in the order of the channels.
        couriers_seen: Vec<Option<UnixMs>>,
    },
    /// An order of this id has another body.
    Conflict,
    /// It would end before it is due.
    ExpiresBeforeDue,
    /// Its staged parcels are gone, or another upload took over.
    UploadLost,
    /// Its staged parcels do not match the order.
    Incomplete,
    /// It has no deliveries, or an inline order has deliveries on two channels.
    Invalid,
    /// Its history can't be read.
    Unreadable,
}

impl ScriptCall for Enqueue<'_> {
    type Reply = Enqueued;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, s) = (self.keys, self.order_id);
        vec![
            k.epoch(),
            k.fence(),
            k.due(self.priority),
            k.history(s),
            k.orders(),
            k.sender(s.sender()),
            k.staging(),
            k.channels(),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        let without: Vec<u8> =
            (0..self.channels.len()).flat_map(|i| self.no_contact.get(i).unwrap_or(&0).to_be_bytes()).collect();
        let mut args = vec![
            arg_text(self.order_id.as_str()),
            arg(self.due.map_or(0, |due| due.0)),
            arg_text(self.priority.as_str()),
            Bytes::copy_from_slice(&[self.on_unknown.letter()]),
            arg(self.not_after.map_or(0, |end| end.0)),
            arg(self.span.as_millis()),
            Bytes::copy_from_slice(&self.digest),
            arg_text(if self.inline.is_some() { "i" } else { "p" }),
            Bytes::from(encode_channels(self.channels)),
            Bytes::from(without),
            arg_text(self.upload),
        ];
        for (field, piece) in self.inline.unwrap_or_default() {
            args.extend([arg_text(field), Bytes::copy_from_slice(piece)]);
        }
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Enqueued, Malformed> {
        Ok(match code {
            "due_now" | "scheduled" | "already_done" => {
                let (accepted, due) = (UnixMs(f.u64("accepted")?), UnixMs(f.u64("due")?));
                let seen = f.array("couriers")?.into_iter();
                Enqueued::Accepted {
                    already_done: code == "already_done",
                    due_now: code == "due_now" || accepted == due,
                    accepted,
                    due,
                    couriers_seen: seen
                        .map(|v| Ok(Some(UnixMs(v.u64("seen")?)).filter(|at| at.0 > 0)))
                        .collect::<Result<_, Malformed>>()?,
                }
            }
            "conflict" => Enqueued::Conflict,
            "expires_before_due" => Enqueued::ExpiresBeforeDue,
            "upload_lost" => Enqueued::UploadLost,
            "incomplete" => Enqueued::Incomplete,
            "invalid" => Enqueued::Invalid,
            "unreadable" => Enqueued::Unreadable,
            _ => return Err(Malformed::new("code of enqueue")),
        })
    }
}
