//! A dry run: everything is checked, nothing is written.

use posthaste_model::{Channel, addresses};
use posthaste_store::TextSet;

use super::answer::{AcceptedView, Stored, recipients};
use super::recipient_validator::{Deliveries, Sorted};
use super::state::IntakeState;
use super::too_long::warnings;
use super::validated_order::ValidatedOrder;
use super::validation_error::refused;
use crate::problem::Problem;
use crate::timestamp::ApiTime;

/// Counts deliveries as the store would.
pub(crate) struct Count {
    seen: TextSet,
    channels: Vec<(Channel, u32, u64)>,
}

impl Count {
    pub(crate) fn new(chance: [u8; 16]) -> Self {
        Self { seen: TextSet::new(chance), channels: Vec::new() }
    }

    /// Counts these deliveries and drops them.
    pub(crate) fn add(&mut self, deliveries: &mut Deliveries) {
        for (channel, delivery) in deliveries.drain(..) {
            let at = match self.channels.iter().position(|(known, ..)| *known == channel) {
                Some(at) => at,
                None => {
                    self.channels.push((channel.clone(), 0, 0));
                    self.channels.len() - 1
                }
            };
            let (_, fresh, merged) = &mut self.channels[at];
            if self.seen.insert(&[channel.as_str(), &addresses::compared(&channel, &delivery.address)]) {
                *fresh += 1;
            } else {
                *merged += 1;
            }
        }
    }
}

/// The response that a real run would get.
pub(crate) fn answer(
    state: &IntakeState,
    draft: &ValidatedOrder,
    id: Option<&posthaste_model::OrderId>,
    sorted: Sorted,
    count: &Count,
) -> Result<AcceptedView, Problem> {
    let now = state.clock.now();
    let order_id = id.cloned().unwrap_or_else(|| state.mint(&draft.sender));
    let times = draft.times(&order_id, now, &state.rules).map_err(refused)?;
    let stored: Vec<Stored> = sorted
        .no_contact
        .iter()
        .map(|(channel, no_contact)| {
            let counted = count.channels.iter().find(|(known, ..)| known == channel);
            let (deliveries, merged) =
                counted.map_or((0, 0), |(_, deliveries, merged)| (*deliveries, *merged));
            Stored {
                channel: channel.to_string(),
                deliveries,
                merged,
                no_contact: *no_contact,
                courier_seen: None,
            }
        })
        .collect();
    Ok(AcceptedView {
        id: order_id.wire_id(),
        status: None,
        dry_run: true,
        created_at: ApiTime(now),
        deliver_at: ApiTime(times.due.unwrap_or(now)),
        delay_reason: times.moved.then_some("quiet_hours"),
        durability: state.store.durability(),
        warnings: warnings(&sorted.tally.too_long, &stored),
        recipients: recipients(sorted.tally, &stored),
        channels_without_courier: Vec::new(),
        again: false,
    })
}
