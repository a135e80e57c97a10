//! What a courier does with parcels. Every verb is harmless when repeated unchanged.

use std::time::Duration;

use posthaste_model::{Channel, CourierId};
use posthaste_protocol::ScriptAnswer;
use posthaste_protocol::scripts::begin::{Begin, DeliveryBegun};
use posthaste_protocol::scripts::claim::{Claim, ClaimReply, ClaimedParcel, ClaimedParcels};
use posthaste_protocol::scripts::promote_due::{PromoteDue, Promoted};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::settle::{Settle, Settled, Settlement};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::epoch_guard::Partition;
use crate::error::CallError;
use crate::store::Store;

/// A claim of a courier.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// The courier.
    pub courier: &'a CourierId,
    /// Number of the request: one higher after every answer, the same for a repeat.
    pub number: u64,
    /// How long the lease lasts.
    pub lease: Duration,
    /// Most parcels, up to 200.
    pub limit: u32,
    /// Most bulk parcels among them.
    pub bulk_limit: u32,
    /// Most deliveries of inline orders to begin in the same call.
    pub begin: u32,
    /// How long a send that is begun here may take.
    pub send_window: Duration,
    /// Whether the courier has no other work: if it dies now, a parcel claimed alone is the cause.
    pub empty_handed: bool,
}

/// Waits while sends of a partition are held back.
async fn until_sends_are_free(at: &Partition) {
    if let Some(until) = at.held() {
        tokio::time::sleep_until(until).await;
    }
}

impl Store {
    /// Promotes due parcels, then claims ready parcels under a lease, and may begin their deliveries in the same
    /// call.
    ///
    /// # Errors
    /// A [`CallError`]; `NotDurable` only when deliveries were begun, by this call or by the one it repeats. Then
    /// none of them may be sent; their leases are renewed, so that the courier still holds them when it repeats the
    /// call, however long that takes.
    pub async fn claim(&self, p: u16, ask: &ClaimRequest<'_>) -> Result<ScriptAnswer<ClaimReply>, CallError> {
        let script = Claim {
            keys: &self.0.partition(p)?.keys,
            channel: ask.channel,
            courier: ask.courier,
            number: ask.number,
            lease: ask.lease,
            limit: ask.limit,
            bulk_limit: ask.bulk_limit,
            begin: ask.begin,
            send_window: ask.send_window,
            empty_handed: ask.empty_handed,
        };
        until_sends_are_free(self.0.partition(p)?).await;
        let before = self.0.before_confirm(p);
        // A repeated answer shows the fence of the first one.
        let current = |reply: &ClaimReply| {
            !matches!(reply, ClaimReply::Claimed(ClaimedParcels { already_done: true, .. }))
        };
        let answer = self.0.call_minding(p, &script, current).await?;
        let ClaimReply::Claimed(taken) = &answer.reply else { return Ok(answer) };
        // A repeated answer may belong to a call that was to begin more than this one.
        let may_have_begun = ask.begin > 0 || taken.already_done;
        let inline = || taken.parcels.iter().filter(|parcel| parcel.inline.is_some());
        if !may_have_begun || inline().next().is_none() {
            return Ok(answer);
        }
        if let Err(error) = self.0.confirmed(p, before).await {
            let parcel = |parcel: &ClaimedParcel| ParcelRef {
                parcel_id: parcel.parcel_id.clone(),
                fence: answer.fence,
            };
            let taken: Vec<_> = taken.parcels.iter().map(parcel).collect();
            if let Err(error) = self.renew(p, ask.channel, ask.lease, &taken).await {
                tracing::debug!(%error, "cannot renew the leases of unconfirmed parcels");
            }
            return Err(error);
        }
        Ok(answer)
    }

    /// Moves due parcels to ready. A claim does so too.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn promote_due(&self, p: u16) -> Result<ScriptAnswer<Promoted>, CallError> {
        self.0.call(p, &PromoteDue { keys: &self.0.partition(p)?.keys }).await
    }

    /// Marks (delivery, attempt) pairs of parcels as sending; deliveries in ascending order, at most 200 parcels and
    /// 2,000 deliveries. No byte of a delivery may be sent before this call has answered that it is begun.
    /// `deliveries_a_token`: how many deliveries of a parcel may share a token, 0 for no tokens.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn begin(
        &self,
        p: u16,
        channel: &Channel,
        send_window: Duration,
        deliveries_a_token: u16,
        parcels: &[(ParcelRef, Vec<(u16, u8)>)],
    ) -> Result<ScriptAnswer<Vec<(ParcelCode, Vec<DeliveryBegun>)>>, CallError> {
        until_sends_are_free(self.0.partition(p)?).await;
        let before = self.0.before_confirm(p);
        let (keys, partitions) = (&self.0.partition(p)?.keys, u32::from(self.partitions()));
        let script = Begin { keys, channel, send_window, deliveries_a_token, partitions, parcels };
        let answer = self.0.call(p, &script).await?;
        self.0.confirmed(p, before).await?;
        Ok(answer)
    }

    /// Reports outcomes of attempts: at most 200 parcels and 2,000 reports. Also accepted while the database is
    /// halted.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn settle(
        &self,
        p: u16,
        channel: &Channel,
        settlements: &[Settlement],
    ) -> Result<ScriptAnswer<Settled>, CallError> {
        self.0.call_reporting(p, &Settle { keys: &self.0.partition(p)?.keys, channel, settlements }).await
    }

    /// Releases leases, 200 at most; pending deliveries wait at least this long.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn release(
        &self,
        p: u16,
        channel: &Channel,
        wait: Duration,
        parcels: &[ParcelRef],
    ) -> Result<ScriptAnswer<Vec<ParcelCode>>, CallError> {
        self.0.call(p, &Release { keys: &self.0.partition(p)?.keys, channel, wait, parcels }).await
    }

    /// Renews leases that are not over, 200 at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn renew(
        &self,
        p: u16,
        channel: &Channel,
        lease: Duration,
        parcels: &[ParcelRef],
    ) -> Result<ScriptAnswer<Vec<Renewed>>, CallError> {
        self.0.call(p, &Renew { keys: &self.0.partition(p)?.keys, channel, lease, parcels }).await
    }
}
