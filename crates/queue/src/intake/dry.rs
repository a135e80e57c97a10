//! A dry run: everything is checked, nothing is written.

use posthaste_model::Channel;

use super::answer::{AcceptedView, Stored, history_key, recipients};
use super::draft::Draft;
use super::flaw::refused;
use super::ids::Ids;
use super::sieve::{Rows, Sorted};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::state::AppState;

/// Counts rows as the store would.
pub(crate) struct Count {
    seen: Ids,
    channels: Vec<(Channel, u32, u64)>,
}

impl Count {
    pub(crate) fn new(chance: [u8; 16]) -> Self {
        Self { seen: Ids::new(chance), channels: Vec::new() }
    }

    /// Counts these rows, and forgets them.
    pub(crate) fn add(&mut self, rows: &mut Rows) {
        for (channel, row) in rows.drain(..) {
            let at = match self.channels.iter().position(|(known, ..)| *known == channel) {
                Some(at) => at,
                None => {
                    self.channels.push((channel.clone(), 0, 0));
                    self.channels.len() - 1
                }
            };
            let (_, fresh, merged) = &mut self.channels[at];
            if self.seen.insert(&format!("{channel}\0{}", row.address.expose())) {
                *fresh += 1;
            } else {
                *merged += 1;
            }
        }
    }
}

/// What would be answered.
pub(crate) fn answer(
    state: &AppState,
    draft: &Draft,
    id: Option<&posthaste_model::Suffix>,
    sorted: Sorted,
    count: &Count,
) -> Result<AcceptedView, Problem> {
    let now = state.clock.now();
    let suffix = id.cloned().unwrap_or_else(|| state.mint(&draft.sender));
    let times = draft.times(&suffix, now, &state.rules).map_err(refused)?;
    let stored: Vec<Stored> = sorted
        .no_contact
        .iter()
        .map(|(channel, no_contact)| {
            let counted = count.channels.iter().find(|(known, ..)| known == channel);
            let (rows, merged) = counted.map_or((0, 0), |(_, rows, merged)| (*rows, *merged));
            Stored { channel: channel.to_string(), rows, merged, no_contact: *no_contact, courier_seen: None }
        })
        .collect();
    Ok(AcceptedView {
        order_id: suffix.order_id(),
        history_key: history_key(&suffix),
        state: "dry_run",
        accepted_at: Moment(now),
        due_at: Moment(times.due.unwrap_or(now)),
        moved_by: times.moved.then_some("quiet_hours"),
        durability: state.store.durability(),
        recipients: recipients(sorted.tally, &stored),
        channels_without_courier: Vec::new(),
        again: false,
    })
}
