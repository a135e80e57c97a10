//! What each channel does and how much waits there: measured for metrics, `/readyz` and `GET /v1/couriers`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use posthaste_model::Channel;
use posthaste_ops::health::Condition;
use posthaste_store::{Backlog, CallError, ChannelState, CourierPresence, Store};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it is measured for the metrics.
const EVERY: Duration = Duration::from_secs(5);
/// How old a measured backlog may be in an answer.
const KNOWN_FOR: Duration = Duration::from_secs(2);

/// What waits on each channel.
pub(crate) type Waiting = Arc<BTreeMap<Channel, Backlog>>;

/// The last measurement; clones share it.
#[derive(Clone)]
pub(crate) struct Backlogs {
    store: Store,
    known: Arc<Mutex<Option<(Instant, Waiting)>>>,
}

impl Backlogs {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Arc::default() }
    }

    /// What waits on these channels. Concurrent callers share one measurement.
    pub(crate) async fn current(&self, channels: &[CourierPresence]) -> Result<Waiting, CallError> {
        let mut known = self.known.lock().await;
        if let Some((at, waiting)) = &*known
            && at.elapsed() < KNOWN_FOR
            && channels.iter().all(|one| waiting.contains_key(&one.channel))
        {
            return Ok(Arc::clone(waiting));
        }
        let mut measured = BTreeMap::new();
        for one in channels {
            measured.insert(one.channel.clone(), self.store.backlog(&one.channel).await?);
        }
        let waiting = Arc::new(measured);
        *known = Some((Instant::now(), Arc::clone(&waiting)));
        Ok(waiting)
    }
}

impl fmt::Debug for Backlogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backlogs").finish_non_exhaustive()
    }
}

/// Measures until `stop`. The check holds whatever channels do, because orders are accepted all the same; its note
/// names the channels that do not work.
pub(crate) async fn watch(store: Store, backlogs: Backlogs, check: Condition, stop: CancellationToken) {
    check.ok();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A database that cannot be reached is reported by the check `store`.
        let Ok(channels) = store.couriers().await else { continue };
        let Ok(waiting) = backlogs.current(&channels).await else { continue };
        let mut notes = Vec::new();
        for one in &channels {
            let backlog = waiting.get(&one.channel).copied().unwrap_or_default();
            tell(one, &backlog);
            // Nobody misses a courier of a channel where nothing waits.
            let missed = backlog.deliveries > 0 || one.state < ChannelState::Silent;
            if one.state > ChannelState::Paused && missed {
                notes.push(note(one, &backlog));
            }
        }
        match notes.is_empty() {
            true => check.ok(),
            false => check.ok_but(notes.join("; ")),
        }
    }
}

fn tell(one: &CourierPresence, backlog: &Backlog) {
    let channel = one.channel.to_string();
    for state in ChannelState::ALL {
        gauge!("posthaste_channel_state", "channel" => channel.clone(), "state" => state.word())
            .set(f64::from(u8::from(state == one.state)));
    }
    gauge!("posthaste_oldest_overdue_seconds", "channel" => channel.clone())
        .set(backlog.overdue.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "for a gauge")]
    gauge!("posthaste_waiting_deliveries", "channel" => channel).set(backlog.deliveries as f64);
}

/// `sms stopped (token refused), 76 deliveries wait, the oldest for 80 s`
fn note(one: &CourierPresence, backlog: &Backlog) -> String {
    let why = one.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    let more = if backlog.more { "more than " } else { "" };
    let state = format!("{} {}{why}", one.channel, one.state.word());
    match backlog.deliveries {
        0 => format!("{state}, nothing waits"),
        waiting => {
            format!("{state}, {more}{waiting} waiting, the oldest for {} s", backlog.overdue.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_and_why_and_how_much_waits() {
        let one = CourierPresence {
            channel: "sms".parse().unwrap(),
            last_seen: None,
            present: true,
            state: ChannelState::Stopped,
            since: None,
            until: None,
            why: Some("token refused".to_owned()),
            couriers: 1,
        };
        let backlog = Backlog { deliveries: 76, oldest: None, overdue: Duration::from_secs(80), more: false };
        assert_eq!(note(&one, &backlog), "sms stopped (token refused), 76 waiting, the oldest for 80 s");
        assert_eq!(note(&one, &Backlog::default()), "sms stopped (token refused), nothing waits");
        let more = Backlog { more: true, ..backlog };
        let absent = CourierPresence { state: ChannelState::Absent, why: None, ..one };
        assert_eq!(note(&absent, &more), "sms absent, more than 76 waiting, the oldest for 80 s");
    }
}
