//! Which channels have a courier, and what it does.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{try_join, try_join_all};
use posthaste_model::{Channel, UnixMs};
use posthaste_protocol::scripts::report_courier::{CourierReport, CourierState};

use crate::error::CallError;
use crate::store::Store;

/// A courier claims every second, also when there is nothing to do; one that is silent for this long is away or
/// stopped.
const SILENCE: Duration = Duration::from_secs(15);

/// A courier reports what it does every four seconds; one that has been quiet for this long is silent.
const QUIET: Duration = Duration::from_secs(12);

/// What the couriers of a channel do: the best that one of them does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChannelState {
    /// A courier sends what is due.
    Working,
    /// The provider asked the channel to wait.
    Paused,
    /// The provider keeps failing, so calls to it rest.
    Resting,
    /// An operator must fix something first.
    Stopped,
    /// A courier was there a moment ago and does not report any more.
    Silent,
    /// There is no courier.
    Absent,
}

impl ChannelState {
    /// All of them, the best first.
    pub const ALL: [Self; 6] =
        [Self::Working, Self::Paused, Self::Resting, Self::Stopped, Self::Silent, Self::Absent];

    /// The stable word for metrics and API answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Working => CourierState::Working.word(),
            Self::Paused => CourierState::Paused.word(),
            Self::Resting => CourierState::Resting.word(),
            Self::Stopped => CourierState::Stopped.word(),
            Self::Silent => "silent",
            Self::Absent => "absent",
        }
    }

    /// What to do about it; `None` while there is nothing to do.
    #[must_use]
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Working | Self::Paused => None,
            Self::Resting => Some(
                "Check that the provider works and can be reached from the courier's host. Sending resumes by itself.",
            ),
            Self::Stopped => Some(
                "Correct what the reason names, usually the channel's credentials, and check it with `posthaste \
                 doctor`. The courier checks again by itself; restart it if its settings have changed.",
            ),
            Self::Silent => {
                Some("Check whether the courier's process and its connection to Redis are alive.")
            }
            Self::Absent => Some("Start a courier of the channel: posthaste courier CHANNEL --config FILE"),
        }
    }

    /// The best state that couriers of the channel report; `None` if none reports.
    pub(super) fn of_all(channel: &Channel, reports: &[CourierReport], now: UnixMs) -> Option<Self> {
        reports.iter().filter(|report| report.channel == *channel).map(|report| Self::of(report, now)).min()
    }

    /// What this report says at `now`.
    fn of(report: &CourierReport, now: UnixMs) -> Self {
        match report.state {
            _ if now.since(report.seen) > QUIET => Self::Silent,
            CourierState::Working => Self::Working,
            CourierState::Paused => Self::Paused,
            CourierState::Resting => Self::Resting,
            CourierState::Stopped => Self::Stopped,
        }
    }
}

/// A channel, and when one of its couriers was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierPresence {
    /// The channel.
    pub channel: Channel,
    /// When a courier was last seen; `None`: never.
    pub last_seen: Option<UnixMs>,
    /// Whether that was within the last 15 seconds of the server's clock.
    pub present: bool,
    /// What its couriers do.
    pub state: ChannelState,
    /// Since when; `None` if no courier has reported it.
    pub since: Option<UnixMs>,
    /// When that may end by itself.
    pub until: Option<UnixMs>,
    /// Why, in words.
    pub why: Option<String>,
    /// How many couriers report.
    pub couriers: usize,
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
        let reports = self.courier_reports(now).await?;
        let mut last: BTreeMap<Channel, UnixMs> = BTreeMap::new();
        let reported = reports.iter().map(|report| (report.channel.clone(), UnixMs(0)));
        for (channel, seen) in of_all.into_iter().flatten().chain(reported) {
            let latest = last.entry(channel).or_default();
            *latest = seen.max(*latest);
        }
        Ok(last.into_iter().map(|(channel, at)| presence(channel, at, &reports, now)).collect())
    }
}

/// What is known about a channel whose couriers were last seen at `at` (0: never).
fn presence(channel: Channel, at: UnixMs, reports: &[CourierReport], now: UnixMs) -> CourierPresence {
    let own = || reports.iter().filter(|report| report.channel == channel);
    let best = own().min_by_key(|report| (ChannelState::of(report, now), std::cmp::Reverse(report.seen)));
    let seen = own().map(|report| report.seen).max().unwrap_or_default().max(at);
    let present = is_present(seen, now);
    let (couriers, state) = match best {
        Some(report) => (own().count(), ChannelState::of(report, now)),
        None if present => (0, ChannelState::Silent),
        None => (0, ChannelState::Absent),
    };
    CourierPresence {
        last_seen: (seen.0 > 0).then_some(seen),
        present,
        state,
        since: best.map(|report| report.since),
        until: best.and_then(|report| report.ends).filter(|_| state != ChannelState::Silent),
        why: best.map(|report| report.why.clone()).filter(|why| !why.is_empty()),
        couriers,
        channel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(100_000);

    fn report(courier: &str, state: CourierState, ago: u64) -> CourierReport {
        CourierReport {
            channel: "email".parse().unwrap(),
            courier: courier.to_owned(),
            state,
            since: UnixMs(50_000),
            seen: UnixMs(NOW.0 - ago),
            holds: UnixMs(NOW.0 + 1),
            ends: (state == CourierState::Resting).then_some(UnixMs(NOW.0 + 7_000)),
            why: if state == CourierState::Working { String::new() } else { format!("{state:?} {courier}") },
        }
    }

    #[test]
    fn a_channel_is_in_the_best_state_of_its_couriers() {
        use CourierState::{Paused, Resting, Stopped, Working};
        let cases: &[(&[CourierReport], u64, &str, Option<&str>)] = &[
            (&[], 0, "absent", None),
            (&[], 15_001, "absent", None),
            (&[], 14_000, "silent", None),
            (&[report("a", Working, 100)], 100, "working", None),
            (&[report("a", Stopped, 100)], 100, "stopped", Some("Stopped a")),
            (&[report("a", Stopped, 100), report("b", Resting, 100)], 100, "resting", Some("Resting b")),
            (&[report("a", Resting, 100), report("b", Paused, 100)], 100, "paused", Some("Paused b")),
            (&[report("a", Working, 12_001), report("b", Stopped, 100)], 100, "stopped", Some("Stopped b")),
            (&[report("a", Working, 12_001)], 100, "silent", None),
        ];
        for (reports, seen_ago, state, why) in cases {
            let at = if *seen_ago == 0 { UnixMs(0) } else { UnixMs(NOW.0 - seen_ago) };
            let found = presence("email".parse().unwrap(), at, reports, NOW);
            assert_eq!((found.state.word(), found.why.as_deref()), (*state, *why), "{reports:?}");
            assert_eq!(found.present, *state != "absent", "{reports:?}");
            assert_eq!(found.until.is_some(), *state == "resting", "{reports:?}");
            assert_eq!(found.state.remedy().is_none(), ["working", "paused"].contains(state));
        }
    }
}
