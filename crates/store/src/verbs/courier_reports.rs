//! What couriers say about themselves, and what waits for them. The reports are in the first partition: there are few,
//! and its epoch guards them in scripts.

use std::time::Duration;

use posthaste_model::{Channel, CourierId, UnixMs};
use posthaste_protocol::scripts::measure_backlog::{BacklogPlace, MeasureBacklog};
use posthaste_protocol::scripts::report_courier::{CourierReport, CourierState, ReportCourier};

use crate::command::text;
use crate::error::CallError;
use crate::store::Store;

/// The partition that holds the reports.
const PARTITION: u16 = 0;
/// Members of an index walked in one call.
const AT_ONCE: u32 = 500;
/// Calls of one walk through a partition.
const MOST_CALLS: u32 = 40;
/// The longest cause that is stored, in bytes.
const LONGEST_WHY: usize = 300;

/// What a courier says about itself.
#[derive(Debug, Clone)]
pub struct OwnReport<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// The courier.
    pub courier: &'a CourierId,
    /// Higher than the number of its former report.
    pub number: u64,
    /// What it does; `None`: it has ended.
    pub state: Option<CourierState>,
    /// How long until that may end by itself.
    pub ends_in: Option<Duration>,
    /// How long the report holds; after that the courier counts as gone.
    pub holds: Duration,
    /// Why; no address, no secret.
    pub why: &'a str,
}

/// What is due on a channel and not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries that are pending or sending.
    pub deliveries: u64,
    /// When the oldest of them was due, whatever was tried since.
    pub oldest: Option<UnixMs>,
    /// For how long that is, by the server's clock.
    pub overdue: Duration,
    /// Whether more waits than was counted.
    pub more: bool,
}

impl Store {
    /// Stores what a courier says about itself. Harmless when repeated or late.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn report_courier(&self, report: &OwnReport<'_>) -> Result<(), CallError> {
        let OwnReport { channel, courier, number, state, ends_in, holds, why } = *report;
        let fits = (0..=why.len().min(LONGEST_WHY)).rev().find(|at| why.is_char_boundary(*at));
        let why = &why[..fits.unwrap_or(0)];
        let keys = &self.0.partition(PARTITION)?.keys;
        let script = ReportCourier { keys, channel, courier, number, state, ends_in, holds, why };
        self.0.call(PARTITION, &script).await?;
        Ok(())
    }

    /// The reports that hold at `now`, sorted by channel and courier; none while their partition cannot be reached, or
    /// if another program made the key another type.
    pub(super) async fn courier_reports(&self, now: UnixMs) -> Result<Vec<CourierReport>, CallError> {
        if !self.can_ask(PARTITION) {
            return Ok(Vec::new());
        }
        let at = self.0.partition(PARTITION)?;
        let reader = self.0.reader().await?;
        let flat = reader.ask("HGETALL", vec![text(at.keys.courier_states())], at.slot).await;
        let flat = match flat.map_err(CallError::of_record) {
            Err(error) if error.unreadable().is_some() => return Ok(Vec::new()),
            flat => flat?,
        };
        let mut flat = flat.array("courier states").map_err(CallError::record)?.into_iter();
        let mut reports = Vec::new();
        while let (Some(field), Some(value)) = (flat.next(), flat.next()) {
            let (field, value) = (field.text("courier"), value.text("report"));
            if let (Ok(field), Ok(value)) = (field, value)
                && let Some(report) = CourierReport::read(&field, &value)
                && report.holds > now
            {
                reports.push(report);
            }
        }
        reports.sort_by(|one, other| (&one.channel, &one.courier).cmp(&(&other.channel, &other.courier)));
        Ok(reports)
    }

    /// What is due on a channel and not sent, in all partitions that can be reached. Of each, 20,000 parcels are
    /// walked at most, those that are ready for the longest first.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn backlog(&self, channel: &Channel) -> Result<Backlog, CallError> {
        let mut backlog = Backlog::default();
        for p in (0..self.partitions()).filter(|p| self.can_ask(*p)) {
            let keys = &self.0.partition(p)?.keys;
            let mut from = Some(BacklogPlace::START);
            for _ in 0..MOST_CALLS {
                let Some(place) = from else { break };
                let script = MeasureBacklog { keys, channel, from: place, limit: AT_ONCE };
                let answer = self.0.call(p, &script).await?;
                let part = answer.reply;
                backlog.deliveries += part.deliveries;
                if let Some(due) = part.oldest {
                    backlog.oldest = Some(backlog.oldest.map_or(due, |oldest| oldest.min(due)));
                    backlog.overdue = backlog.overdue.max(answer.now.since(due));
                }
                from = part.next;
            }
            backlog.more |= from.is_some();
        }
        Ok(backlog)
    }
}
