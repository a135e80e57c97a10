//! Which channels have a courier.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{try_join, try_join_all};
use posthaste_model::{Channel, UnixMs};

use crate::error::CallError;
use crate::store::Store;

/// A courier claims every second, also when there is nothing to do; one that is silent for this long is away or
/// stopped.
const SILENCE: Duration = Duration::from_secs(15);

/// A channel, and when one of its couriers was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierPresence {
    /// The channel.
    pub channel: Channel,
    /// When a courier was last seen; `None`: never.
    pub last_seen: Option<UnixMs>,
    /// Whether that was within the last 15 seconds of the server's clock.
    pub present: bool,
}

/// Whether a courier last seen at `seen` (0: never) is present at `now`.
pub(super) fn is_present(seen: UnixMs, now: UnixMs) -> bool {
    seen.0 > 0 && now.since(seen) <= SILENCE
}

impl Store {
    /// All channels named by orders or couriers, sorted by name. Covers all partitions that can be reached; couriers
    /// register with each.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn couriers(&self) -> Result<Vec<CourierPresence>, CallError> {
        let there: Vec<u16> = (0..self.partitions()).filter(|p| self.can_ask(*p)).collect();
        let requested = if there.is_empty() { vec![0] } else { there };
        let of_all = try_join_all(requested.into_iter().map(|p| self.channels(p)));
        let (now, of_all) = try_join(self.server_time(), of_all).await?;
        let mut last: BTreeMap<Channel, UnixMs> = BTreeMap::new();
        for (channel, seen) in of_all.into_iter().flatten() {
            let latest = last.entry(channel).or_default();
            *latest = seen.max(*latest);
        }
        let seen = |(channel, at): (Channel, UnixMs)| CourierPresence {
            channel,
            last_seen: (at.0 > 0).then_some(at),
            present: is_present(at, now),
        };
        Ok(last.into_iter().map(seen).collect())
    }
}
