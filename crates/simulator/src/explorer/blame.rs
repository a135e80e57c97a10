//! What couriers die of: only what nothing else can explain is given up as poison.

use posthaste_model::{Reason, State as RowState};

use super::Explorer;
use super::check::PROPERTIES;
use super::state::State;
use super::view::ParcelView;

const BLAME: &str = PROPERTIES[12];

impl Explorer {
    /// A row that was on the wire is given up only if all that was on the wire with it were repeats of rows couriers had died
    /// with; one that was not, only if nothing of its parcel was begun and its courier claimed nothing after it.
    pub(super) fn check_poison(&self, state: &mut State, parcel: usize, old: &ParcelView, new: &ParcelView) {
        let sending = || old.rows.iter().filter(|row| row.state == RowState::Sending);
        for (row, (was, is)) in old.rows.iter().zip(&new.rows).enumerate() {
            if is.reason != Reason::Poison || was.reason == Reason::Poison || was.state == is.state {
                continue;
            }
            let lease = old.lease.as_ref();
            let alone = match was.state {
                RowState::Sending => sending().all(|row| row.repeated),
                RowState::Pending => lease.is_some_and(|lease| !lease.begun && lease.alone && lease.last),
                _ => was.state == RowState::Unresolved,
            };
            if !alone {
                state.found(BLAME, || format!("row {row} of parcel {parcel} is given up: {old:?}"));
            }
        }
    }
}
