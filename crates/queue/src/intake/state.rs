//! What the requests that accept and change orders share.

use std::sync::Arc;

use posthaste_model::{Clock, OrderId, SenderId};
use posthaste_store::Store;

use super::daily_limit::DailyLimits;
use super::in_flight::InFlight;
use super::settings::{Rules, SmsLimitSettings};
use super::sms_limits::SmsLimits;
use crate::offload::Offload;

/// The state of acceptance.
pub(crate) struct IntakeState {
    /// The database.
    pub(crate) store: Store,
    /// The wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The rules of acceptance.
    pub(crate) rules: Arc<Rules>,
    /// Orders per day of each sender.
    pub(crate) daily_limits: DailyLimits,
    /// Messages that cost money.
    pub(crate) sms_limits: SmsLimits,
    /// Threads for checking large bodies.
    pub(crate) offload: Offload,
    /// Orders being accepted.
    pub(crate) in_flight: InFlight,
}

impl IntakeState {
    /// The state of acceptance by these rules.
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        rules: Arc<Rules>,
        sms_limits: SmsLimitSettings,
        offload: Offload,
    ) -> Self {
        let day_zone = rules.day_zone.clone();
        Self {
            daily_limits: DailyLimits::new(store.clone(), Arc::clone(&clock), Arc::clone(&rules)),
            sms_limits: SmsLimits::new(store.clone(), Arc::clone(&clock), day_zone, sms_limits),
            in_flight: InFlight::default(),
            store,
            clock,
            rules,
            offload,
        }
    }

    /// An id for a new order of this sender, in a partition that is reachable now: in a cluster, one unreachable
    /// primary blocks no new order.
    pub(crate) fn mint(&self, sender: &SenderId) -> OrderId {
        let there = |order_id: &OrderId| self.store.can_ask(self.store.partition_of(order_id));
        self.in_flight.mint_there(sender, &*self.clock, there)
    }
}
