//! When states begin, last and end, and the log lines that result. The time is an argument everywhere.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Clock, SystemClock, UnixMs};
use tokio::time::Instant;

use super::server_trouble::ServerTrouble;
use crate::cause::Cause;
use crate::redis_state::RedisState;

/// How often a lasting state is logged again.
pub const LOG_EVERY: Duration = Duration::from_secs(30);
/// How long a state must have been over before its end is logged.
const SETTLED: Duration = Duration::from_secs(3);
/// Slowness is a state when answers were slow in this many of the last [`SLOW_SPAN`] seconds: a single stall does not
/// count.
const SLOW_SECONDS: usize = 3;
const SLOW_SPAN: u64 = 10;

/// The spells of all servers.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) nodes: Vec<Arc<str>>,
    spells: Vec<Spell>,
    /// Why the last connection was lost, or could not be made.
    pub(super) lost: Option<Cause>,
    /// When answers were slow, by server: in seconds since the first.
    slow: Vec<(Arc<str>, Instant, Vec<u64>)>,
}

/// A state from its beginning until its end has been logged.
#[derive(Debug)]
struct Spell {
    trouble: ServerTrouble,
    reported: Instant,
    ended: Option<Instant>,
}

/// What a log line reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Began,
    Continues,
    Ended,
}

/// A line to be logged once no lock is held.
pub(super) type Line = (Phase, ServerTrouble, Duration);

impl Kept {
    pub(super) fn begin(
        &mut self,
        node: &Arc<str>,
        state: RedisState,
        detail: Option<String>,
        now: Instant,
    ) -> Vec<Line> {
        let known = |spell: &&mut Spell| spell.trouble.state == state && spell.trouble.node == *node;
        if let Some(spell) = self.spells.iter_mut().find(known) {
            spell.ended = None;
            if detail.is_some() {
                spell.trouble.detail = detail;
            }
            return Vec::new();
        }
        let trouble = ServerTrouble {
            node: Arc::clone(node),
            state,
            since: now,
            began: SystemClock.now(),
            detail,
            refused: 0,
        };
        self.spells.push(Spell { trouble: trouble.clone(), reported: now, ended: None });
        vec![(Phase::Began, trouble, Duration::ZERO)]
    }

    pub(super) fn end(
        &mut self,
        node: &Arc<str>,
        which: impl Fn(RedisState) -> bool,
        now: Instant,
    ) -> Vec<Line> {
        for spell in &mut self.spells {
            if spell.trouble.node == *node && which(spell.trouble.state) {
                spell.ended.get_or_insert(now);
            }
        }
        Vec::new()
    }

    pub(super) fn slow(&mut self, node: &Arc<str>, detail: Option<String>, now: Instant) -> Vec<Line> {
        let at = match self.slow.iter().position(|(one, ..)| one == node) {
            Some(at) => at,
            None => {
                self.slow.push((Arc::clone(node), now, Vec::new()));
                self.slow.len() - 1
            }
        };
        let (_, first, seconds) = &mut self.slow[at];
        let second = now.saturating_duration_since(*first).as_secs();
        seconds.retain(|one| *one + SLOW_SPAN > second);
        if !seconds.contains(&second) {
            seconds.push(second);
        }
        let slow = seconds.len() >= SLOW_SECONDS;
        if slow { self.begin(node, RedisState::Slow, detail, now) } else { Vec::new() }
    }

    pub(super) fn tick(&mut self, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        for (node, first, seconds) in &self.slow {
            let second = now.saturating_duration_since(*first).as_secs();
            let last = seconds.last().copied().unwrap_or(0);
            for spell in &mut self.spells {
                let slow = spell.trouble.state == RedisState::Slow && spell.trouble.node == *node;
                if slow && last + SLOW_SPAN <= second {
                    spell.ended.get_or_insert(now);
                }
            }
        }
        self.spells.retain_mut(|spell| {
            let lasted =
                |until: Instant, trouble: &ServerTrouble| until.saturating_duration_since(trouble.since);
            match spell.ended {
                Some(ended) if now.saturating_duration_since(ended) >= SETTLED => {
                    lines.push((Phase::Ended, spell.trouble.clone(), lasted(ended, &spell.trouble)));
                    return false;
                }
                None if now.saturating_duration_since(spell.reported) >= LOG_EVERY => {
                    spell.reported = now;
                    lines.push((Phase::Continues, spell.trouble.clone(), lasted(now, &spell.trouble)));
                }
                _ => {}
            }
            true
        });
        lines
    }

    /// Counts a call that failed because of a state.
    pub(super) fn count(&mut self, state: RedisState) {
        for spell in &mut self.spells {
            if spell.ended.is_none() && spell.trouble.state == state {
                spell.trouble.refused += 1;
            }
        }
    }

    /// Sets the current servers; states found by the prober at any other server have ended.
    pub(super) fn keep_only(&mut self, nodes: Vec<Arc<str>>, now: Instant) {
        for spell in self.spells.iter_mut().filter(|spell| !nodes.contains(&spell.trouble.node)) {
            // States that calls report for a whole cluster are kept under the addresses in the settings.
            if spell.trouble.state.is_seen() {
                spell.ended.get_or_insert(now);
            }
        }
        self.nodes = nodes;
    }

    pub(super) fn lasts(&self, node: &Arc<str>, state: RedisState) -> bool {
        let this = |spell: &Spell| spell.trouble.node == *node && spell.trouble.state == state;
        self.spells.iter().any(|spell| spell.ended.is_none() && this(spell))
    }

    pub(super) fn shown(&self) -> Vec<ServerTrouble> {
        let mut shown: Vec<ServerTrouble> = self
            .spells
            .iter()
            .filter(|spell| spell.ended.is_none())
            .map(|spell| spell.trouble.clone())
            .collect();
        shown.sort_by_key(|trouble| trouble.state);
        shown
    }
}

pub(super) fn tell((phase, trouble, span): Line) {
    let (event, state, node) = (trouble.state.event(), trouble.state.word(), &*trouble.node);
    let (is, means, remedy) = (trouble.state.is(), trouble.state.means(), trouble.state.remedy());
    let (since, detail) = (moment(trouble.began), trouble.detail.as_deref());
    let (seconds, refused_calls) = (span.as_secs(), trouble.refused);
    match phase {
        Phase::Began => {
            tracing::warn!(event, phase = "began", state, node, since, detail, means, remedy, "Redis {is}")
        }
        Phase::Continues => tracing::warn!(
            event,
            phase = "continues",
            state,
            node,
            since,
            seconds,
            refused_calls,
            detail,
            means,
            remedy,
            "Redis still {is}"
        ),
        Phase::Ended => tracing::info!(
            event,
            phase = "ended",
            state,
            node,
            since,
            seconds,
            refused_calls,
            "Redis {}",
            trouble.state.over()
        ),
    }
}

fn moment(at: UnixMs) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| at.0.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Arc<str> {
        Arc::from("127.0.0.1:6379")
    }

    fn phases(lines: &[Line]) -> Vec<(Phase, RedisState, u64)> {
        lines.iter().map(|(phase, trouble, span)| (*phase, trouble.state, span.as_secs())).collect()
    }

    #[test]
    fn a_state_is_logged_when_it_begins_every_half_minute_and_when_it_ends() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = RedisState::MemoryFull;
        assert_eq!(phases(&kept.begin(&node(), state, None, start)), [(Phase::Began, state, 0)]);
        let mut reported = Vec::new();
        for second in 1..=70 {
            assert!(
                kept.begin(&node(), state, None, at(second)).is_empty(),
                "a lasting state is not logged at every call"
            );
            reported.extend(phases(&kept.tick(at(second))));
        }
        assert_eq!(reported, [(Phase::Continues, state, 30), (Phase::Continues, state, 60)]);
        kept.end(&node(), |one| one == state, at(71));
        assert!(kept.shown().is_empty(), "the end is visible at once");
        assert!(kept.tick(at(73)).is_empty());
        assert_eq!(phases(&kept.tick(at(74))), [(Phase::Ended, state, 71)]);
        assert!(kept.tick(at(200)).is_empty());
    }

    #[test]
    fn a_flickering_state_is_logged_once() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reported = Vec::new();
        for second in 0..20 {
            reported.extend(phases(&kept.begin(&node(), RedisState::Away, None, at(second))));
            kept.end(&node(), |_| true, at(second));
            reported.extend(phases(&kept.tick(at(second))));
        }
        assert_eq!(reported, [(Phase::Began, RedisState::Away, 0)]);
    }

    #[test]
    fn slowness_is_a_state_when_it_recurs() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        for millis in 0..900 {
            assert!(kept.slow(&node(), None, at(millis)).is_empty(), "a single stall does not count");
        }
        assert!(kept.slow(&node(), None, at(1_500)).is_empty());
        let reported = phases(&kept.slow(&node(), None, at(2_500)));
        assert_eq!(reported, [(Phase::Began, RedisState::Slow, 0)]);
        kept.tick(at(11_000));
        assert_eq!(kept.shown().len(), 1);
        kept.tick(at(12_500));
        assert!(kept.shown().is_empty());
        assert!(kept.slow(&node(), None, at(13_000)).is_empty());
    }
}
