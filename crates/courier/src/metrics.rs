//! Metrics of a courier. Names and labels are a public contract, listed only here.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | `posthaste_lateness_seconds` | histogram | channel | time from the due time of an order to the claim of its deliveries |
//! | `posthaste_outcomes_total` | counter | channel, outcome, reason | attempt reports by outcome |
//! | `posthaste_wakes_total` | counter | channel, source | claims by what triggered them: event, timer, start |
//! | `posthaste_in_flight` | gauge | channel | provider calls on the wire |
//! | `posthaste_held_deliveries` | gauge | channel | deliveries under a lease |
//! | `posthaste_concurrency` | gauge | channel | maximum concurrent provider calls |
//! | `posthaste_provider_seconds` | histogram | channel, priority | duration of a provider call |
//! | `posthaste_oldest_overdue_seconds` | gauge | channel | age of the oldest parcel waiting in ready |
//! | `posthaste_waiting_parcels` | gauge | channel | parcels waiting in ready |
//! | `posthaste_claimed_parcels_total` | counter | channel | parcels leased; a parcel counts each time it is leased |
//! | `posthaste_stale_reports_total` | counter | channel | reports rejected because their attempt is not the recorded one |
//! | `posthaste_late_reports_total` | counter | channel | reports accepted as evidence after the lease was lost |
//! | `posthaste_refused_begins_total` | counter | channel, code | parcels that could not be begun |
//! | `posthaste_alarms_total` | counter | channel, what | conditions an operator should look at |
//! | `posthaste_channel_stopped` | gauge | channel | 1 while the channel is stopped until an operator fixes it |
//! | `posthaste_hearing` | gauge | channel | 1 while the courier receives its own bell events |
//! | `posthaste_swept_parcels_total`, `posthaste_unresolved_deliveries_total`, `posthaste_poison_parcels_total`, `posthaste_lost_members_total`, `posthaste_mended_parcels_total`, `posthaste_retired_orders_total`, `posthaste_parked_total` | counter | channel | actions of the sweeper |
//! | `posthaste_newer_records_total` | counter | channel | records of a later version, left to a newer program |
//! | `posthaste_parked_records` | gauge | channel, partition | parked orders and parcels of all channels |
//! | `posthaste_orders_ended_total` | counter | channel | orders that ended when this courier settled their last delivery |
//! | `posthaste_receipts_total` | counter | channel, word, noted | delivery receipts from providers, and their effect |
//! | `posthaste_suppressions_total` | counter | channel | addresses added to a suppression list, or strikes counted |
//! | `posthaste_callbacks_refused_total` | counter | channel | callbacks that failed authentication |
//! | `posthaste_resolved_total` | counter | channel, how | unknown deliveries resolved, by decision |

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use posthaste_model::{Channel, OutcomeKind, Priority, Reason, UnixMs};
use posthaste_ops::health::Progress;
use posthaste_store::{ClaimedParcels, ParcelCode, Reported, Settled, Settlement, WakeupEvent};
use tokio::time::Instant;

use crate::feedback::{ReceiptResult, ReceiptStatus};

/// Counts a condition that an operator of this channel should look at. `what` is a label of one or two words.
pub fn alarm(channel: &Channel, what: &'static str) {
    count_alarm(channel.to_string(), what);
}

fn count_alarm(channel: String, what: &'static str) {
    counter!("posthaste_alarms_total", "channel" => channel, "what" => what).increment(1);
}

/// The metrics of one courier.
pub(crate) struct Meter {
    channel: String,
    progress: Option<Progress>,
    flow: Mutex<Flow>,
    /// Whether the first subscription has been made.
    listened: AtomicBool,
}

/// Deliveries settled in the last second, and the average size of a parcel: used to size claims.
struct Flow {
    second: Instant,
    deliveries: usize,
    last_deliveries: usize,
    a_parcel: f64,
}

impl Meter {
    pub(crate) fn new(channel: &Channel, progress: Option<Progress>) -> Self {
        let flow = Flow { second: Instant::now(), deliveries: 0, last_deliveries: 0, a_parcel: 1.0 };
        let (channel, listened) = (channel.to_string(), AtomicBool::new(false));
        Self { channel, progress, flow: Mutex::new(flow), listened }
    }

    fn with_flow<T>(&self, f: impl FnOnce(&mut Flow) -> T) -> T {
        f(&mut self.flow.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn deliveries_last_second(&self) -> usize {
        self.with_flow(|flow| {
            flow.turn();
            flow.last_deliveries.max(flow.deliveries)
        })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 500")]
    pub(crate) fn deliveries_a_parcel(&self) -> usize {
        self.with_flow(|flow| flow.a_parcel.clamp(1.0, 500.0) as usize)
    }

    pub(crate) fn wake(&self, source: &'static str) {
        counter!("posthaste_wakes_total", "channel" => self.channel.clone(), "source" => source).increment(1);
    }

    pub(crate) fn heard(&self, event: &WakeupEvent) {
        // The first gap is the subscription itself; work from before it is found by the first claim anyway.
        if matches!(event, WakeupEvent::Gap) && self.listened.swap(true, Ordering::Relaxed) {
            self.alarm("gap");
        }
    }

    pub(crate) fn alarm(&self, what: &'static str) {
        count_alarm(self.channel.clone(), what);
    }

    pub(crate) fn stopped(&self, stopped: bool) {
        gauge!("posthaste_channel_stopped", "channel" => self.channel.clone())
            .set(f64::from(u8::from(stopped)));
    }

    pub(crate) fn hearing(&self, hears: bool) {
        gauge!("posthaste_hearing", "channel" => self.channel.clone()).set(f64::from(u8::from(hears)));
    }

    pub(crate) fn claimed(&self, taken: &ClaimedParcels, now: UnixMs) {
        if let Some(progress) = &self.progress {
            progress.made(Instant::now());
        }
        let overdue = taken.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        gauge!("posthaste_oldest_overdue_seconds", "channel" => self.channel.clone())
            .set(overdue.as_secs_f64());
        gauge!("posthaste_waiting_parcels", "channel" => self.channel.clone()).set(count(taken.waiting));
        counter!("posthaste_claimed_parcels_total", "channel" => self.channel.clone())
            .increment(taken.parcels.len() as u64);
        counter!("posthaste_lost_members_total", "channel" => self.channel.clone()).increment(taken.lost);
        if taken.persisted > 0 {
            self.alarm("persisted");
        }
    }

    /// Records of a later format version were found; `order` names one of them.
    pub(crate) fn newer(&self, channel: &Channel, records: u64, order: &str) {
        counter!("posthaste_newer_records_total", "channel" => self.channel.clone()).increment(records);
        tracing::warn!(
            event = "record.newer_skipped",
            %channel,
            records,
            order,
            "records of a later version were skipped and not begun"
        );
    }

    pub(crate) fn parked(&self, partition: u16, entries: u64) {
        gauge!("posthaste_parked_records", "channel" => self.channel.clone(), "partition" => partition.to_string())
            .set(count(entries));
    }

    /// A parcel due at `due` was claimed at `now` (server clock) with `open` open deliveries, `fresh` of them for the
    /// first time.
    pub(crate) fn met(&self, due: UnixMs, now: UnixMs, open: usize, fresh: usize) {
        self.with_flow(|flow| flow.a_parcel = flow.a_parcel * 0.9 + count(open.max(1) as u64) * 0.1);
        if fresh == 0 {
            // Deliveries claimed again waited on purpose, not because the courier is late.
            return;
        }
        histogram!("posthaste_lateness_seconds", "channel" => self.channel.clone())
            .record(now.since(due).as_secs_f64());
    }

    pub(crate) fn gauges(&self, calls: usize, held: usize, concurrency: usize) {
        gauge!("posthaste_in_flight", "channel" => self.channel.clone()).set(count(calls as u64));
        gauge!("posthaste_held_deliveries", "channel" => self.channel.clone()).set(count(held as u64));
        gauge!("posthaste_concurrency", "channel" => self.channel.clone()).set(count(concurrency as u64));
    }

    pub(crate) fn sent(&self, took: Duration, priority: Priority) {
        histogram!("posthaste_provider_seconds", "channel" => self.channel.clone(), "priority" => priority.as_str())
            .record(took.as_secs_f64());
    }

    pub(crate) fn outcome(&self, kind: OutcomeKind, reason: Reason) {
        let outcome = match kind {
            OutcomeKind::Sent => "sent",
            OutcomeKind::Delivered => "delivered",
            OutcomeKind::Failed => "failed",
            OutcomeKind::Suppressed => "suppressed",
            OutcomeKind::Unknown => "unknown",
            OutcomeKind::Retry => "retry",
            OutcomeKind::NotSent => "not_sent",
            OutcomeKind::Part => "part",
        };
        counter!("posthaste_outcomes_total", "channel" => self.channel.clone(), "outcome" => outcome, "reason" => reason.word())
            .increment(1);
    }

    pub(crate) fn settled(&self, settlements: &[Settlement], settled: &Settled) {
        let deliveries = settlements.iter().map(|settlement| settlement.reports.len()).sum::<usize>();
        self.with_flow(|flow| {
            flow.turn();
            flow.deliveries += deliveries;
        });
        counter!("posthaste_orders_ended_total", "channel" => self.channel.clone()).increment(settled.ended);
    }

    pub(crate) fn reported(&self, letter: Reported) {
        match letter {
            Reported::Stale => {
                counter!("posthaste_stale_reports_total", "channel" => self.channel.clone()).increment(1)
            }
            Reported::Evidence => {
                counter!("posthaste_late_reports_total", "channel" => self.channel.clone()).increment(1)
            }
            Reported::Applied | Reported::Known => {}
        }
    }

    pub(crate) fn refused(&self, code: ParcelCode) {
        let code = match code {
            ParcelCode::Cancelled => "cancelled",
            ParcelCode::Expired => "expired",
            ParcelCode::Over => "over",
            ParcelCode::Stale => "stale",
            _ => "record",
        };
        counter!("posthaste_refused_begins_total", "channel" => self.channel.clone(), "code" => code)
            .increment(1);
    }

    pub(crate) fn add(&self, name: &'static str, n: u64) {
        if n > 0 {
            counter!(name, "channel" => self.channel.clone()).increment(n);
        }
    }

    pub(crate) fn receipt(&self, word: ReceiptStatus, noted: ReceiptResult) {
        let word = match word {
            ReceiptStatus::Sent => "sent",
            ReceiptStatus::Delivered => "delivered",
            ReceiptStatus::Failed => "failed",
        };
        let noted = match noted {
            ReceiptResult::Changed => "changed",
            ReceiptResult::Known => "known",
            ReceiptResult::NoSuchAttempt => "no_such_attempt",
        };
        counter!("posthaste_receipts_total", "channel" => self.channel.clone(), "word" => word, "noted" => noted)
            .increment(1);
    }

    pub(crate) fn resolved(&self, how: &'static str, n: u64) {
        if n > 0 {
            counter!("posthaste_resolved_total", "channel" => self.channel.clone(), "how" => how)
                .increment(n);
        }
    }
}

impl Flow {
    fn turn(&mut self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.second);
        if passed >= Duration::from_secs(1) {
            self.last_deliveries = if passed >= Duration::from_secs(2) { 0 } else { self.deliveries };
            self.deliveries = 0;
            self.second = now;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a gauge")]
fn count(n: u64) -> f64 {
    n as f64
}
