//! Deaths of couriers: only what nothing else can explain is given up as poison.

use posthaste_model::{Reason, State as DeliveryState};

use super::Explorer;
use super::check::PROPERTIES;
use super::state::ExplorerState;
use super::view::ParcelView;

const BLAME: &str = PROPERTIES[12];

impl Explorer {
    /// A delivery that was on the wire is given up only if everything on the wire with it was a repeat of deliveries
    /// that couriers had died with. One that was not on the wire is given up only if nothing of its parcel was begun
    /// and its courier claimed nothing after it.
    pub(super) fn check_poison(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        old: &ParcelView,
        new: &ParcelView,
    ) {
        let sending = || old.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Sending);
        for (delivery, (was, is)) in old.deliveries.iter().zip(&new.deliveries).enumerate() {
            if is.reason != Reason::Poison || was.reason == Reason::Poison || was.state == is.state {
                continue;
            }
            let lease = old.lease.as_ref();
            let alone = match was.state {
                DeliveryState::Sending => sending().all(|delivery| delivery.repeated),
                DeliveryState::Pending => {
                    lease.is_some_and(|lease| !lease.begun && lease.alone && lease.last)
                }
                _ => was.state == DeliveryState::Unresolved,
            };
            if !alone {
                state.found(BLAME, || format!("delivery {delivery} of parcel {parcel} is given up: {old:?}"));
            }
        }
    }
}
