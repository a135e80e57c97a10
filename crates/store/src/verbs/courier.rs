//! What a courier does with parcels. Every verb is harmless when repeated as it was.

use std::time::Duration;

use posthaste_model::{Channel, CourierId};
use posthaste_protocol::Answer;
use posthaste_protocol::scripts::begin::{Begin, RowBegun};
use posthaste_protocol::scripts::claim::{Claim, Claimed, Reply, Taken};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::ring::{Ring, Rung};
use posthaste_protocol::scripts::settle::{Settle, Settled, Settlement};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::error::CallError;
use crate::store::Store;

/// What a courier asks for.
#[derive(Debug, Clone, Copy)]
pub struct ClaimAsk<'a> {
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

impl Store {
    /// Rings what is due, then takes ready parcels under a lease, and may begin their rows at once.
    ///
    /// # Errors
    /// A [`CallError`]; `Undurable` only when rows were begun, by this call or by the one it repeats. Nothing of them may leave
    /// then; their leases are prolonged, so that whoever asks again, however long it takes, still holds them.
    pub async fn claim(&self, p: u16, ask: &ClaimAsk<'_>) -> Result<Answer<Reply>, CallError> {
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
        self.0.hold(p).await?;
        let before = self.0.before_confirm(p);
        // An answer given again tells the fence of that time.
        let current = |reply: &Reply| !matches!(reply, Reply::Taken(Taken { again: true, .. }));
        let answer = self.0.call_minding(p, &script, current).await?;
        let Reply::Taken(taken) = &answer.reply else { return Ok(answer) };
        // What is told again may have been begun by a call that was to begin more than this one.
        let may_have_begun = ask.begin > 0 || taken.again;
        let inline = || taken.parcels.iter().filter(|parcel| parcel.inline.is_some());
        if !may_have_begun || inline().next().is_none() {
            return Ok(answer);
        }
        if let Err(error) = self.0.confirmed(p, before).await {
            let parcel = |parcel: &Claimed| ParcelRef { member: parcel.member.clone(), fence: answer.fence };
            let taken: Vec<_> = taken.parcels.iter().map(parcel).collect();
            if let Err(error) = self.renew(p, ask.channel, ask.lease, &taken).await {
                tracing::debug!(%error, "leases of what is not confirmed were not prolonged");
            }
            return Err(error);
        }
        Ok(answer)
    }

    /// Moves what is due to ready. A claim does so too.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn ring(&self, p: u16) -> Result<Answer<Rung>, CallError> {
        self.0.call(p, &Ring { keys: &self.0.partition(p)?.keys }).await
    }

    /// Marks (row, attempt) of parcels as sending; rows ascending, 200 parcels and 2,000 rows at most. No byte may leave
    /// for a row before this answered that it is begun. `rows_a_token`: how many rows of a parcel may share a token, 0 for no
    /// tokens.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn begin(
        &self,
        p: u16,
        channel: &Channel,
        send_window: Duration,
        rows_a_token: u16,
        parcels: &[(ParcelRef, Vec<(u16, u8)>)],
    ) -> Result<Answer<Vec<(ParcelCode, Vec<RowBegun>)>>, CallError> {
        self.0.hold(p).await?;
        let before = self.0.before_confirm(p);
        let (keys, partitions) = (&self.0.partition(p)?.keys, u32::from(self.partitions()));
        let script = Begin { keys, channel, send_window, rows_a_token, partitions, parcels };
        let answer = self.0.call(p, &script).await?;
        self.0.confirmed(p, before).await?;
        Ok(answer)
    }

    /// Reports what became of attempts: 200 parcels and 2,000 reports at most. Also taken while the database is halted.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn settle(
        &self,
        p: u16,
        channel: &Channel,
        settlements: &[Settlement],
    ) -> Result<Answer<Settled>, CallError> {
        self.0.call_reporting(p, &Settle { keys: &self.0.partition(p)?.keys, channel, settlements }).await
    }

    /// Hands leases back, 200 at most; pending rows wait at least so long.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn release(
        &self,
        p: u16,
        channel: &Channel,
        wait: Duration,
        parcels: &[ParcelRef],
    ) -> Result<Answer<Vec<ParcelCode>>, CallError> {
        self.0.call(p, &Release { keys: &self.0.partition(p)?.keys, channel, wait, parcels }).await
    }

    /// Prolongs leases that are not over, 200 at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn renew(
        &self,
        p: u16,
        channel: &Channel,
        lease: Duration,
        parcels: &[ParcelRef],
    ) -> Result<Answer<Vec<Renewed>>, CallError> {
        self.0.call(p, &Renew { keys: &self.0.partition(p)?.keys, channel, lease, parcels }).await
    }
}
