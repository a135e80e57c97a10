//! `apply_receipt`: applies a delivery receipt.

use bytes::Bytes;
use posthaste_model::{Channel, CodedReason, ParcelId};

use super::settle::{Reported, read_letter};
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("apply_receipt", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "unresolved:{p}:<channel>", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member", "delivery", "attempt the receipt speaks of",
        "s taken, d delivered, f not delivered", "reason", "provider's code, packed; 0 without one"],
    codes: ["ok", "not_found", "newer_version", "unreadable", "cancelled_before_due", "wrong_epoch"]);

/// The status a receipt reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptStatus {
    /// The provider accepted it.
    Sent,
    /// It was delivered.
    Delivered,
    /// It was not delivered after all.
    Failed,
}

/// Applies a delivery receipt.
#[derive(Debug, Clone)]
pub struct ApplyReceipt<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The parcel.
    pub parcel_id: &'a ParcelId,
    /// The delivery.
    pub delivery: u16,
    /// The attempt.
    pub attempt: u8,
    /// Its status.
    pub status: ReceiptStatus,
    /// The reason. The provider's code is kept only with [`ReceiptStatus::Failed`].
    pub reason: CodedReason,
}

impl ScriptCall for ApplyReceipt<'_> {
    /// `None` when there is no such delivery, or it was cancelled before it was due.
    type Reply = Option<Reported>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.unresolved(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let word = match self.status {
            ReceiptStatus::Sent => "s",
            ReceiptStatus::Delivered => "d",
            ReceiptStatus::Failed => "f",
        };
        vec![
            arg_text(self.channel.as_str()),
            arg(self.parcel_id),
            arg(self.delivery),
            arg(self.attempt),
            arg_text(word),
            arg(self.reason.reason.code()),
            arg(self.reason.code.packed()),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Self::Reply, Malformed> {
        match code {
            "ok" => {
                let letter = f.bytes("letter")?;
                read_letter(*letter.first().ok_or(Malformed::new("letter"))?).map(Some)
            }
            "newer_version" | "unreadable" => Ok(Some(Reported::Unreadable)),
            "not_found" | "cancelled_before_due" => Ok(None),
            _ => Err(Malformed::new("code of apply_receipt")),
        }
    }
}
