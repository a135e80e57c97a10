//! Operators' decisions about unreadable records, before the database goes back.

use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::fail_order::{FailOrder, FailedOrder};
use posthaste_protocol::scripts::fail_parcel::{FailParcel, FailedParcel};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::release_parked::ReleaseParked;
use rand::Rng;

use super::{Walk, email};

impl Walk<'_> {
    /// A parcel's holder cannot read it, and an operator releases or ends it.
    pub(super) fn of_parked(&mut self) {
        let keys = self.keys.clone();
        let Some(ParcelRef { parcel_id, fence }) = self.parcel() else { return };
        let channel = email();
        let parcels = [ToPark { parcel_id: parcel_id.clone(), fence: Some(fence), why: "content" }];
        // Parking reports nothing to anybody.
        self.call(&Park { keys: &keys, channel: &channel, parcels: &parcels });
        self.line.push(self.world.clone());
        if self.rng.random() {
            let names = [parcel_id.to_string()];
            let script = ReleaseParked { keys: &keys, channel: Some(&channel), names: &names };
            if let Some((released, mark, _)) = self.call(&script) {
                self.tell("release_parked", mark, released > 0);
            }
        } else if let Some((failed, mark, _)) =
            self.call(&FailParcel { keys: &keys, channel: &channel, parcel_id: &parcel_id })
        {
            self.tell("fail_parcel", mark, matches!(failed, FailedParcel::Ended(_)));
        }
    }

    /// An operator ends an unreadable order, or one with an unreadable parcel.
    pub(super) fn fail_order(&mut self) {
        let keys = self.keys.clone();
        let Some((order_id, _)) = self.order() else { return };
        let script = FailOrder { keys: &keys, order_id: &order_id, from: None, forced: true };
        if let Some((failed, mark, _)) = self.call(&script) {
            self.tell("fail_order", mark, failed == FailedOrder::Ended);
        }
    }
}
