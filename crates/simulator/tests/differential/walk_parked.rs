//! Steps of couriers and operators with unreadable records: park them, release them, end them.

use posthaste_model::ParcelId;
use posthaste_protocol::scripts::fail_order::FailOrder;
use posthaste_protocol::scripts::fail_parcel::FailParcel;
use posthaste_protocol::scripts::park::{Park, ToPark};
use posthaste_protocol::scripts::release_parked::ReleaseParked;
use rand::Rng;

use crate::walk::{Differ, Walk};

impl Walk<'_> {
    pub(crate) fn of_parked(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((order_id, channels)) = self.order() else { return Ok(()) };
        let Some(channel) = channels.first().cloned() else { return Ok(()) };
        let parcel_id = ParcelId { order_id: order_id.clone(), number: self.rng.random_range(0..2) };
        match act {
            0 => {
                // By a courier that holds a parcel, or by a resolver that holds none.
                let (channel, parcel) = match self.parcel() {
                    Some((at, parcel, _)) if self.rng.random_bool(0.5) => (
                        self.couriers[at].channel.clone(),
                        ToPark { parcel_id: parcel.parcel_id, fence: Some(parcel.fence), why: "deliveries" },
                    ),
                    _ => (channel, ToPark { parcel_id, fence: None, why: "outcomes" }),
                };
                self.call(&Park { keys: &keys, channel: &channel, parcels: &[parcel] })?.ok();
            }
            1 => {
                let names = [parcel_id.to_string()];
                self.call(&ReleaseParked { keys: &keys, channel: Some(&channel), names: &names })?.ok();
            }
            2 => {
                self.call(&FailParcel { keys: &keys, channel: &channel, parcel_id: &parcel_id })?.ok();
            }
            _ => {
                let forced = self.rng.random_bool(0.5);
                self.call(&FailOrder { keys: &keys, order_id: &order_id, from: None, forced })?.ok();
            }
        }
        Ok(())
    }
}
