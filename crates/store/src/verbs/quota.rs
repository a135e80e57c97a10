//! What may be sent on a channel in a day and an hour.

use posthaste_model::{Channel, Suffix, UnixMs};
use posthaste_protocol::record::KeyId;
use posthaste_protocol::scripts::quota::{Limits, Quota, Share, TakeQuota};

use crate::error::CallError;
use crate::store::Store;

/// A share of what may be sent.
#[derive(Debug, Clone, Copy)]
pub struct QuotaAsk<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// When the day began, which names it.
    pub day: UnixMs,
    /// When the hour began.
    pub hour: UnixMs,
    /// For which order.
    pub suffix: &'a Suffix,
    /// Who gives it.
    pub key: &'a KeyId,
    /// Segments of all its messages.
    pub segments: u64,
    /// Its messages.
    pub messages: u64,
    /// What may be sent.
    pub limits: Limits,
    /// Which taking it is, and which one is given back: chance.
    pub taking: [u8; 8],
}

impl Store {
    /// Takes a share for an order, gives it back, or looks whether it would be given. `prefixes`: the messages by the beginnings
    /// of their numbers; those beyond the first 500 are not counted.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn quota(
        &self,
        share: Share,
        ask: &QuotaAsk<'_>,
        prefixes: &[(String, u32)],
    ) -> Result<Quota, CallError> {
        let address_key = self.0.address_key()?;
        let prefixes: Vec<_> =
            prefixes.iter().map(|(prefix, messages)| (address_key.prefix_id(prefix), *messages)).collect();
        let QuotaAsk { channel, day, hour, suffix, key, segments, messages, limits, taking } = *ask;
        let script = TakeQuota {
            channel,
            day,
            hour,
            share,
            suffix,
            segments,
            messages,
            key,
            limits,
            taking,
            prefixes: &prefixes,
        };
        self.0.call_apart(&script).await
    }
}
