//! Housekeeping: reclaiming leases, resolving, repairing indexes, purging.

use std::time::Duration;

use posthaste_model::{Channel, CodedReason, OrderId, ParcelId};
use posthaste_protocol::ScriptAnswer;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::claim_unresolved::{ClaimUnresolved, UnresolvedParcels};
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, ExpiredParcels, Index};
use posthaste_protocol::scripts::purge_orders::{PurgeOrders, PurgedOrders};
use posthaste_protocol::scripts::reclaim_leases::{ReclaimLeases, ReclaimedLeases};
use posthaste_protocol::scripts::repair_indexes::{RepairIndexes, RepairedIndexes};
use posthaste_protocol::scripts::resolve::{Decision, Resolve, Resolved};
use posthaste_protocol::scripts::scan_orders::{ScanOrders, ScannedOrders};
use posthaste_protocol::scripts::settle::Reported;
use posthaste_protocol::scripts::unstage_parcels::{Unstage, Unstaged};

use crate::error::{CallError, NoReplyCause};
use crate::link::Link;
use crate::store::Store;

/// After this much silence a courier's last request is forgotten: far longer than a copy of it can be in transit.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Reclaims expired leases of a channel, `limit` (200) at most. `blame`: such a lease means a crash; this is not
    /// so just after the server was away. `link`: only if it was not interrupted since `blame` was concluded from it.
    ///
    /// # Errors
    /// A [`CallError`]; `NoReply` also when `link` was interrupted.
    pub async fn reclaim_leases(
        &self,
        p: u16,
        channel: &Channel,
        limit: u32,
        blame: bool,
        link: Option<&Link>,
    ) -> Result<ScriptAnswer<ReclaimedLeases>, CallError> {
        let partition = self.0.partition(p)?;
        if let Some(link) = link {
            // The call may have had to wait for a connection.
            self.0.worker_of(partition).await?;
            if !self.link_of(p).is_some_and(|now| now.is_uninterrupted(link)) {
                return Err(CallError::NoReply(NoReplyCause::NotConnected));
            }
        }
        let keys = &partition.keys;
        self.0.call(p, &ReclaimLeases { keys, channel, limit, blame, forget_after: FORGET_AFTER }).await
    }

    /// Returns parcels with unresolved deliveries that are due for a decision, `limit` (200) at most, and postpones
    /// each, so that no other courier resolves it meanwhile.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn claim_unresolved(
        &self,
        p: u16,
        channel: &Channel,
        limit: u32,
        put_off: Duration,
    ) -> Result<ScriptAnswer<UnresolvedParcels>, CallError> {
        self.0.call(p, &ClaimUnresolved { keys: &self.0.partition(p)?.keys, channel, limit, put_off }).await
    }

    /// Decides unresolved deliveries of a parcel: (delivery, attempt, decision), in ascending order of deliveries.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn resolve(
        &self,
        p: u16,
        channel: &Channel,
        parcel_id: &ParcelId,
        decisions: &[(u16, u8, Decision)],
    ) -> Result<ScriptAnswer<Resolved>, CallError> {
        self.0.call(p, &Resolve { keys: &self.0.partition(p)?.keys, channel, parcel_id, decisions }).await
    }

    /// Applies a late delivery receipt about one attempt of one delivery. `None`: there is no such delivery.
    ///
    /// # Errors
    /// A [`CallError`].
    #[expect(clippy::too_many_arguments, reason = "a receipt is these seven things")]
    pub async fn apply_receipt(
        &self,
        p: u16,
        channel: &Channel,
        parcel_id: &ParcelId,
        delivery: u16,
        attempt: u8,
        word: ReceiptStatus,
        reason: impl Into<CodedReason>,
    ) -> Result<ScriptAnswer<Option<Reported>>, CallError> {
        let keys = &self.0.partition(p)?.keys;
        self.0
            .call_reporting(
                p,
                &ApplyReceipt {
                    keys,
                    channel,
                    parcel_id,
                    delivery,
                    attempt,
                    status: word,
                    reason: reason.into(),
                },
            )
            .await
    }

    /// Walks an index of a channel from a rank on and ends deliveries that no courier will process: expired or
    /// cancelled ones, and unknown ones that are not resolved. `limit` members, 200 at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn expire_parcels(
        &self,
        p: u16,
        channel: &Channel,
        index: Index,
        from: u64,
        limit: u32,
    ) -> Result<ScriptAnswer<ExpiredParcels>, CallError> {
        self.0.call(p, &ExpireParcels { keys: &self.0.partition(p)?.keys, channel, index, from, limit }).await
    }

    /// Walks the list of orders from a position on and returns those to repair; `limit` orders at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn scan_orders(
        &self,
        p: u16,
        from: u64,
        limit: u32,
    ) -> Result<ScriptAnswer<ScannedOrders>, CallError> {
        self.0.call(p, &ScanOrders { keys: &self.0.partition(p)?.keys, from, limit }).await
    }

    /// Checks from parcel `from` on whether the parcels of an order are in the index that their records require.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn repair_indexes(
        &self,
        p: u16,
        channel: &Channel,
        order_id: &OrderId,
        from: u32,
    ) -> Result<ScriptAnswer<RepairedIndexes>, CallError> {
        self.0.call(p, &RepairIndexes { keys: &self.0.partition(p)?.keys, channel, order_id, from }).await
    }

    /// Removes orders that became final on a day (days since 1970) longer ago than the retention, one step at a time.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn purge_orders(
        &self,
        p: u16,
        day: u64,
        retention_days: u32,
    ) -> Result<ScriptAnswer<PurgedOrders>, CallError> {
        self.0.call(p, &PurgeOrders { keys: &self.0.partition(p)?.keys, day, retention_days }).await
    }

    /// Removes the staged data of an order that will not be accepted, one step at a time: of this order, or of the
    /// oldest one that was aborted or has been idle for 15 minutes. A named order is removed only while it belongs to
    /// that upload.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn unstage(
        &self,
        p: u16,
        named: Option<(&OrderId, &str)>,
    ) -> Result<ScriptAnswer<Unstaged>, CallError> {
        let (order_id, upload) = named.unzip();
        self.0.call(p, &Unstage { keys: &self.0.partition(p)?.keys, order_id, upload }).await
    }
}
