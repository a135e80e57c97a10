//! The daily limit of orders: a place is taken before an order is stored, and given back if it is not stored.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use posthaste_model::{Clock, OrderId, SenderId, UnixMs};
use posthaste_store::{CallError, DailyPlace, DailyPlaces, Store};

use super::settings::Rules;
use super::validated_order;
use crate::problem::{Code, Problem};
use crate::timestamp::ApiTime;

/// How often a call is tried if its reply is lost.
const TRIES: u32 = 3;

/// A day: its beginning and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) start: UnixMs,
    pub(crate) end: UnixMs,
}

impl Day {
    /// The day of this moment in the time zone.
    pub(crate) fn of(moment: UnixMs, zone: &TimeZone) -> Self {
        let fallback = Self { start: moment, end: moment.after(Duration::from_secs(86_400)) };
        Self::read(moment, zone).unwrap_or(fallback)
    }

    fn read(moment: UnixMs, zone: &TimeZone) -> Option<Self> {
        let at = Timestamp::from_millisecond(i64::try_from(moment.0).ok()?).ok()?;
        let local = at.to_zoned(zone.clone());
        let start = local.start_of_day().ok()?;
        let end = local.tomorrow().ok()?.start_of_day().ok()?;
        let ms = |at: jiff::Zoned| u64::try_from(at.timestamp().as_millisecond()).ok().map(UnixMs);
        Some(Self { start: ms(start)?, end: ms(end)? })
    }
}

/// Why an order got no place.
#[derive(Debug)]
pub(crate) struct NoPlace {
    /// The problem to return.
    pub(crate) problem: Problem,
    /// Whether the reply to a try was lost: then the order may have its place after all.
    pub(crate) lost: bool,
}

/// How many orders a sender has sent today, and may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DailyUse {
    /// Orders sent today.
    pub(crate) used: u32,
    /// Orders per day; `None`: no limit.
    pub(crate) limit: Option<u32>,
    /// Now.
    pub(crate) now: UnixMs,
    /// When the next day begins.
    pub(crate) ends: UnixMs,
}

/// The problem of a day that is full. Without `Retry-After`: a client that obeys it would sleep for up to a day with the
/// request in its hands, and its caller would not learn why. `resets_at` tells a person or a scheduler the same.
fn limit_reached(daily: u32, ends: UnixMs) -> Problem {
    let resets_at = ApiTime(ends).to_string();
    let detail = format!("the daily limit of {daily} orders is reached; it resets at {resets_at}");
    Problem::new(Code::DailyLimitExceeded, detail)
        .with("limit", daily)
        .with("remaining", 0)
        .with("resets_at", resets_at)
}

/// The daily limits of senders; clones share them.
#[derive(Clone)]
pub(crate) struct DailyLimits {
    store: Store,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
}

impl DailyLimits {
    /// The limits of the roles in these rules.
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, rules: Arc<Rules>) -> Self {
        Self { store, clock, rules }
    }

    /// Takes a place in the sender's day for an order; `None` if the order already had one, or is stored already.
    /// `before`: an earlier request may have taken one.
    pub(crate) async fn take(
        &self,
        sender: &SenderId,
        (order_id, before): (&OrderId, bool),
        daily: u32,
        now: UnixMs,
    ) -> Result<Option<DailyPlace>, NoPlace> {
        let day = Day::of(now, &self.rules.day_zone);
        let (mut looked, mut lost, mut tries) = (false, false, 1);
        loop {
            let reserved = match self.store.take_daily_places(sender, order_id, daily, day.start).await {
                Ok(reserved) => reserved,
                Err(error) => {
                    lost |= error.may_have_happened();
                    if matches!(error, CallError::NoReply(_)) && tries < TRIES {
                        tries += 1;
                        continue;
                    }
                    return Err(NoPlace { problem: error.into(), lost });
                }
            };
            let failed = |problem: Problem| NoPlace { problem, lost: false };
            match reserved {
                // Taken by a try of this request whose reply was lost.
                DailyPlaces::Ok { already_done: true, taken, .. } if lost && !before => {
                    return Ok(Some(DailyPlace { order_id: order_id.clone(), taken }));
                }
                DailyPlaces::Ok { already_done: true, .. } => return Ok(None),
                DailyPlaces::Ok { already_done: false, taken, .. } => {
                    return Ok(Some(DailyPlace { order_id: order_id.clone(), taken }));
                }
                DailyPlaces::LimitReached { to_check, .. } => {
                    // A repeated order does not count again.
                    let found = self
                        .store
                        .order_summary(order_id, None)
                        .await
                        .map_err(|error| failed(error.into()))?;
                    if found.is_some() {
                        return Ok(None);
                    }
                    let freed = if looked { Ok(0) } else { self.store.free_places(sender, &to_check).await };
                    if freed.map_err(|error| failed(error.into()))? == 0 {
                        return Err(failed(limit_reached(daily, day.end)));
                    }
                    looked = true;
                }
            }
        }
    }

    /// The limit of a sender with this role.
    ///
    /// # Errors
    /// 403 if the role does not exist; errors of the store.
    pub(crate) async fn of(&self, sender: &SenderId, role: Option<&str>) -> Result<DailyUse, Problem> {
        let limit = validated_order::daily(role, &self.rules)?;
        let now = self.clock.now();
        let day = Day::of(now, &self.rules.day_zone);
        let used = self.store.day(sender, day.start).await?;
        Ok(DailyUse { used, limit, now, ends: day.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(moment: &str, zone: &str) -> (String, String) {
        let at: Timestamp = moment.parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let day = Day::of(UnixMs(u64::try_from(at.as_millisecond()).unwrap()), &zone);
        let show = |at: UnixMs| crate::timestamp::ApiTime(at).to_string();
        (show(day.start), show(day.end))
    }

    #[test]
    fn a_day_follows_the_time_zone_and_may_have_23_or_25_hours() {
        let reported = day("2026-11-20T22:00:00Z", "Europe/Moscow");
        assert_eq!(reported, ("2026-11-20T21:00:00.000Z".to_owned(), "2026-11-21T21:00:00.000Z".to_owned()));
        let reported = day("2026-03-29T12:00:00Z", "Europe/Berlin");
        assert_eq!(reported, ("2026-03-28T23:00:00.000Z".to_owned(), "2026-03-29T22:00:00.000Z".to_owned()));
        let reported = day("2026-10-25T12:00:00Z", "Europe/Berlin");
        assert_eq!(reported, ("2026-10-24T22:00:00.000Z".to_owned(), "2026-10-25T23:00:00.000Z".to_owned()));
    }
}
