//! Recording the metrics of a courier. Their names and meanings are in `posthaste-catalogue`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use posthaste_model::{Channel, OutcomeKind, Priority, Reason, UnixMs};
use posthaste_ops::health::Progress;
use posthaste_store::{
    ClaimedParcels, ParcelCode, ReclaimedLeases, Reported, Settled, Settlement, WakeupEvent,
};
use tokio::time::Instant;

use crate::feedback::{ReceiptResult, ReceiptStatus};
use crate::state_report::Noticeboard;

/// Counts a condition that an operator of this channel should look at. `kind` is a value that the catalogue of metrics
/// lists for the label `type`.
pub fn alert(channel: &Channel, kind: &'static str) {
    count_alert(channel.to_string(), kind);
}

fn count_alert(channel: String, kind: &'static str) {
    counter!("posthaste_alerts_total", "channel" => channel, "type" => kind).increment(1);
}

/// The metrics of one courier.
pub(crate) struct Meter {
    channel: String,
    progress: Option<Progress>,
    flow: Mutex<Flow>,
    /// Whether the first subscription has been made.
    listened: AtomicBool,
    board: Noticeboard,
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
        Self { channel, progress, flow: Mutex::new(flow), listened, board: Noticeboard::new() }
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

    /// Whether lately nearly all parcels had one delivery.
    pub(crate) fn parcels_are_single(&self) -> bool {
        self.with_flow(|flow| flow.a_parcel < 1.05)
    }

    pub(crate) fn wake(&self, source: &'static str) {
        counter!("posthaste_wakeups_total", "channel" => self.channel.clone(), "source" => source)
            .increment(1);
    }

    pub(crate) fn received(&self, event: &WakeupEvent) {
        // The first gap is the subscription itself; work from before it is found by the first claim anyway.
        if matches!(event, WakeupEvent::Gap) && self.listened.swap(true, Ordering::Relaxed) {
            self.alert("wakeup_gap");
        }
    }

    pub(crate) fn alert(&self, kind: &'static str) {
        count_alert(self.channel.clone(), kind);
    }

    pub(crate) fn stopped(&self, stopped: bool) {
        gauge!("posthaste_channel_stopped", "channel" => self.channel.clone())
            .set(f64::from(u8::from(stopped)));
    }

    /// What the courier does now.
    pub(crate) fn board(&self) -> &Noticeboard {
        &self.board
    }

    pub(crate) fn resting(&self, resting: bool) {
        gauge!("posthaste_channel_resting", "channel" => self.channel.clone())
            .set(f64::from(u8::from(resting)));
    }

    pub(crate) fn overdue(&self, overdue: Duration) {
        gauge!("posthaste_oldest_overdue_seconds", "channel" => self.channel.clone())
            .set(overdue.as_secs_f64());
    }

    pub(crate) fn hearing(&self, hears: bool) {
        gauge!("posthaste_wakeup_listener_up", "channel" => self.channel.clone())
            .set(f64::from(u8::from(hears)));
    }

    pub(crate) fn claimed(&self, taken: &ClaimedParcels) {
        if let Some(progress) = &self.progress {
            progress.made(Instant::now());
        }
        gauge!("posthaste_ready_parcels", "channel" => self.channel.clone()).set(count(taken.waiting));
        counter!("posthaste_parcels_claimed_total", "channel" => self.channel.clone())
            .increment(taken.parcels.len() as u64);
        self.dropped(taken.lost);
        if taken.persisted > 0 {
            self.alert("bell_without_expiry");
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
        histogram!("posthaste_delivery_lateness_seconds", "channel" => self.channel.clone())
            .record(now.since(due).as_secs_f64());
    }

    pub(crate) fn gauges(&self, calls: usize, held: usize, concurrency: usize) {
        gauge!("posthaste_provider_requests_in_flight", "channel" => self.channel.clone())
            .set(count(calls as u64));
        gauge!("posthaste_leased_deliveries", "channel" => self.channel.clone()).set(count(held as u64));
        gauge!("posthaste_provider_concurrency_limit", "channel" => self.channel.clone())
            .set(count(concurrency as u64));
    }

    pub(crate) fn sent(&self, took: Duration, priority: Priority) {
        histogram!("posthaste_provider_request_duration_seconds", "channel" => self.channel.clone(), "priority" => priority.as_str())
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
        counter!("posthaste_delivery_attempts_total", "channel" => self.channel.clone(), "outcome" => outcome, "reason" => reason.word())
            .increment(1);
    }

    pub(crate) fn settled(&self, settlements: &[Settlement], settled: &Settled) {
        let deliveries = settlements.iter().map(|settlement| settlement.reports.len()).sum::<usize>();
        self.with_flow(|flow| {
            flow.turn();
            flow.deliveries += deliveries;
        });
        counter!("posthaste_orders_finished_total", "channel" => self.channel.clone())
            .increment(settled.ended);
    }

    pub(crate) fn reported(&self, letter: Reported) {
        let result = match letter {
            Reported::Stale => "stale",
            Reported::Evidence => "late",
            Reported::Applied | Reported::NothingNew | Reported::Unreadable => return,
        };
        counter!("posthaste_attempt_reports_after_lease_total", "channel" => self.channel.clone(), "result" => result)
            .increment(1);
    }

    pub(crate) fn refused(&self, code: ParcelCode) {
        let reason = match code {
            ParcelCode::Cancelled => "cancelled",
            ParcelCode::Expired => "expired",
            ParcelCode::LeaseExpired => "lease_expired",
            ParcelCode::LeaseLost => "lease_lost",
            _ => "unreadable",
        };
        counter!("posthaste_begins_rejected_total", "channel" => self.channel.clone(), "reason" => reason)
            .increment(1);
    }

    /// Expired leases were reclaimed.
    pub(crate) fn reclaimed(&self, swept: &ReclaimedLeases) {
        if swept.parcels > 0 {
            counter!("posthaste_parcels_reclaimed_total", "channel" => self.channel.clone())
                .increment(swept.parcels);
        }
        if swept.unresolved > 0 {
            counter!("posthaste_deliveries_unresolved_total", "channel" => self.channel.clone())
                .increment(swept.unresolved);
        }
        if swept.poison > 0 {
            counter!("posthaste_parcels_poisoned_total", "channel" => self.channel.clone())
                .increment(swept.poison);
        }
        self.dropped(swept.lost);
    }

    /// Entries of an index had no record.
    pub(crate) fn dropped(&self, n: u64) {
        counter!("posthaste_index_entries_dropped_total", "channel" => self.channel.clone()).increment(n);
    }

    /// Orders were removed after their retention.
    pub(crate) fn purged(&self, n: u64) {
        if n > 0 {
            counter!("posthaste_orders_purged_total", "channel" => self.channel.clone()).increment(n);
        }
    }

    /// A parked record was found.
    pub(crate) fn found_parked(&self) {
        counter!("posthaste_records_parked_total", "channel" => self.channel.clone()).increment(1);
    }

    /// Parcels were put back into their index.
    pub(crate) fn repaired(&self, n: u64) {
        if n > 0 {
            counter!("posthaste_parcels_repaired_total", "channel" => self.channel.clone()).increment(n);
        }
        self.alert("index_repaired");
    }

    /// Addresses were put on a suppression list, or failures counted against them.
    pub(crate) fn suppressed(&self, n: u64) {
        if n > 0 {
            counter!("posthaste_suppressions_total", "channel" => self.channel.clone()).increment(n);
        }
    }

    pub(crate) fn receipt(&self, word: ReceiptStatus, noted: ReceiptResult) {
        let status = match word {
            ReceiptStatus::Sent => "sent",
            ReceiptStatus::Delivered => "delivered",
            ReceiptStatus::Failed => "failed",
        };
        let result = match noted {
            ReceiptResult::Changed => "changed",
            ReceiptResult::Known => "known",
            ReceiptResult::NoSuchAttempt => "no_such_attempt",
        };
        counter!("posthaste_delivery_receipts_total", "channel" => self.channel.clone(), "status" => status, "result" => result)
            .increment(1);
    }

    pub(crate) fn resolved(&self, result: &'static str, n: u64) {
        if n > 0 {
            counter!("posthaste_deliveries_resolved_total", "channel" => self.channel.clone(), "result" => result)
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
