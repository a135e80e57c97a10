//! The SMS quota of a channel per day and hour.

use posthaste_model::{Channel, OrderId, UnixMs};
use posthaste_protocol::record::KeyId;
use posthaste_protocol::scripts::limit_sms::{LimitSms, Quota, QuotaStep, SmsLimits};

use crate::error::CallError;
use crate::store::Store;

/// A share of the quota.
#[derive(Debug, Clone, Copy)]
pub struct QuotaRequest<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// When the day began; this identifies it.
    pub day: UnixMs,
    /// When the hour began.
    pub hour: UnixMs,
    /// The order.
    pub order_id: &'a OrderId,
    /// The API key of the caller.
    pub key: &'a KeyId,
    /// Segments of all messages of the order.
    pub segments: u64,
    /// Messages of the order.
    pub messages: u64,
    /// The limits.
    pub limits: SmsLimits,
    /// A random id of this taking, by which it is given back.
    pub taking: [u8; 8],
}

impl Store {
    /// Takes a share for an order, gives it back, or checks whether it would be granted. `prefixes`: the number of
    /// messages by number prefix; prefixes beyond the first 500 are not counted.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn limit_sms(
        &self,
        share: QuotaStep,
        ask: &QuotaRequest<'_>,
        prefixes: &[(String, u32)],
    ) -> Result<Quota, CallError> {
        let address_key = self.0.address_key()?;
        let prefixes: Vec<_> =
            prefixes.iter().map(|(prefix, messages)| (address_key.prefix_id(prefix), *messages)).collect();
        let QuotaRequest { channel, day, hour, order_id, key, segments, messages, limits, taking } = *ask;
        let script = LimitSms {
            channel,
            day,
            hour,
            share,
            order_id,
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
