//! What operators say about records that can't be read, before the database goes back.

use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::fail_order::{FailOrder, FailedOrder};
use posthaste_protocol::scripts::fail_parcel::{FailParcel, FailedParcel};
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::unpark::Unpark;
use rand::Rng;

use super::{Walk, email};

impl Walk<'_> {
    /// Its holder can't read a parcel, and an operator releases it or ends it.
    pub(super) fn of_parked(&mut self) {
        let keys = self.keys.clone();
        let Some(ParcelRef { member, fence }) = self.parcel() else { return };
        let channel = email();
        let parcels = [ToPark { member: member.clone(), fence: Some(fence), why: "content" }];
        // Nobody is told anything by that.
        self.call(&Park { keys: &keys, channel: &channel, parcels: &parcels });
        self.line.push(self.world.clone());
        if self.rng.random() {
            let names = [member.to_string()];
            let script = Unpark { keys: &keys, channel: Some(&channel), names: &names };
            if let Some((released, mark, _)) = self.call(&script) {
                self.tell("unpark", mark, released > 0);
            }
        } else if let Some((failed, mark, _)) =
            self.call(&FailParcel { keys: &keys, channel: &channel, member: &member })
        {
            self.tell("fail_parcel", mark, matches!(failed, FailedParcel::Ended(_)));
        }
    }

    /// An operator ends an order that can't be read, or one of which a parcel can't.
    pub(super) fn fail_order(&mut self) {
        let keys = self.keys.clone();
        let Some((suffix, _)) = self.order() else { return };
        let script = FailOrder { keys: &keys, suffix: &suffix, from: None, forced: true };
        if let Some((failed, mark, _)) = self.call(&script) {
            self.tell("fail_order", mark, failed == FailedOrder::Ended);
        }
    }
}
