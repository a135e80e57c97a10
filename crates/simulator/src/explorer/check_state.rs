//! What must hold in every state: sums, indexes, leases, and that what is reported is true.

use posthaste_model::{Counters, State as DeliveryState};

use super::Explorer;
use super::check::{EARLY, INDEXES, LEASES, SUMS, TRUE};
use super::state::ExplorerState;
use super::view::{DatabaseView, ModelOrder, ParcelView, at};

impl Explorer {
    /// Checks a whole state.
    pub(super) fn check_state(&self, state: &mut ExplorerState) {
        let view = std::sync::Arc::clone(&state.view);
        if let Some(stray) = &view.strays {
            state.found(INDEXES, || stray.clone());
        }
        let s = &self.scenario;
        for (order, it) in view.orders.iter().enumerate() {
            if it.head.is_some() {
                self.check_order(state, order, it, &view);
            }
        }
        for (parcel, it) in view.parcels.iter().enumerate() {
            let order = &view.orders[s.parcels[parcel].order];
            let Some(head) = &order.head else { continue };
            if it.deliveries.is_empty() {
                state.found(SUMS, || format!("parcel {parcel} has no readable record"));
                continue;
            }
            self.check_parcel(state, parcel, it, order, view.now);
            let early = view.now < at(head.due);
            if early && (it.has_record || it.ready.is_some() || it.leased.is_some()) && !order.cancelled {
                state.found(EARLY, || format!("parcel {parcel} is in flight before it is due"));
            }
            self.check_truth(state, parcel, it);
        }
    }

    fn check_order(&self, state: &mut ExplorerState, order: usize, it: &ModelOrder, view: &DatabaseView) {
        let s = &self.scenario;
        let parcels = || view.parcels.iter().zip(&s.parcels).filter(|(_, spec)| spec.order == order);
        let mut open = 0;
        for (channel, deliveries) in &s.orders[order].channels {
            let mut sum = Counters::default();
            for delivery in
                parcels().filter(|(_, spec)| spec.channel == *channel).flat_map(|(p, _)| &p.deliveries)
            {
                sum[delivery.state] += 1;
            }
            open += sum.open();
            let stored = it.counters[*channel];
            if sum.accepted() != u64::from(*deliveries) || (s.orders[order].big && stored != Some(sum)) {
                state.found(SUMS, || format!("order {order}: {stored:?} is stored, {sum:?} is there"));
            }
        }
        if s.orders[order].big && it.open != Some(open) {
            state
                .found(SUMS, || format!("order {order}: {:?} open deliveries stored, {open} there", it.open));
        }
        if it.ended != (open == 0) || it.retirements != usize::from(open == 0) {
            state.found(SUMS, || {
                format!("order {order}: {open} open, ended {}, retired {}", it.ended, it.retirements)
            });
        }
        if it.due.is_some_and(|due| it.head.as_ref().is_some_and(|head| at(head.due) != due) || open == 0) {
            state.found(INDEXES, || format!("order {order} is due at {:?}", it.due));
        }
    }

    fn check_parcel(
        &self,
        state: &mut ExplorerState,
        parcel: usize,
        it: &ParcelView,
        order: &ModelOrder,
        now: i64,
    ) {
        let mut sum = Counters::default();
        for delivery in &it.deliveries {
            sum[delivery.state] += 1;
        }
        let [pending, sending, unresolved] =
            [DeliveryState::Pending, DeliveryState::Sending, DeliveryState::Unresolved]
                .map(|state| sum[state]);
        let counts = (u32::from(it.counts.0), u32::from(it.counts.1), u32::from(it.counts.2));
        if counts != (pending, sending, unresolved) {
            state.found(SUMS, || format!("parcel {parcel} counts {counts:?}, has {sum:?}"));
        }
        if sending > 0 && (it.leased.is_none() || it.lease.is_none()) {
            state.found(LEASES, || format!("parcel {parcel}: {it:?}"));
        }
        let number = u64::from(self.scenario.parcels[parcel].parcel_id.number);
        let promoted = order.due.is_none() || order.promoted.is_some_and(|promoted| number < promoted);
        let anywhere = it.ready.is_some() || it.leased.is_some() || it.unresolved.is_some();
        let rules = [
            (!it.wrong_priority, "it is in the index of the other priority"),
            (!it.parked, "it is parked"),
            (it.leased.is_some() == it.lease.is_some(), "leased without a lease, or the other way round"),
            (!(it.ready.is_some() && it.leased.is_some()), "ready and leased"),
            (promoted || !anywhere, "in an index before it was promoted"),
            (!promoted || pending == 0 || it.ready.is_some() || it.leased.is_some(), "pending in no index"),
            (it.ready.is_none() || pending > 0, "ready with nothing pending"),
            (it.unresolved.is_some() == (unresolved > 0), "the index of unresolved parcels differs"),
            (
                it.ready
                    .zip(order.head.as_ref())
                    .is_none_or(|(ready, head)| ready <= now.max(at(head.not_after))),
                "ready only when its order is over",
            ),
            (it.crashes.is_none() || sum.open() > 0 || it.leased.is_some(), "a crash mark without reason"),
        ];
        for (holds, text) in rules {
            if !holds {
                state.found(INDEXES, || format!("parcel {parcel}, {text}: {it:?}"));
            }
        }
    }

    /// What is reported must be true, unless it was reported as unknown before.
    fn check_truth(&self, state: &mut ExplorerState, parcel: usize, it: &ParcelView) {
        for (delivery, reported) in it.deliveries.iter().enumerate() {
            let truth = &state.truth[parcel][delivery];
            let taken = !truth.taken.is_empty();
            let holds = match reported.state {
                DeliveryState::Sent | DeliveryState::Delivered => taken,
                DeliveryState::Cancelled | DeliveryState::Expired => !taken || truth.sleeps > 0,
                DeliveryState::Failed | DeliveryState::Suppressed => {
                    !taken || truth.reported_unknown || self.scenario.budgets.receipts > 0
                }
                _ => true,
            };
            if !holds {
                let truth = truth.clone();
                state.found(TRUE, || {
                    format!("delivery {delivery} of parcel {parcel} is {:?}: {truth:?}", reported.state)
                });
            }
        }
    }
}
