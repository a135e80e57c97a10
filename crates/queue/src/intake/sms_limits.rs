//! Limits on SMS: segments per day, and messages per hour for one key and to numbers with one prefix. A share is
//! taken before an order is stored, and its segments are given back if it is not stored.
//!
//! Messages cost money, and toll fraud relies on numbers whose owner gets a share of the price from the operator: an
//! attacker who can create orders, with a leaked key or through a public form, sends to a block of their own numbers.
//! The limit per prefix detects this, whatever the key; the limit per hour contains a careless key; the limit per day
//! bounds the bill.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use posthaste_model::{Channel, Clock, Content, OrderId, UnixMs, segments};
use posthaste_store::{CallError, KeyId, NothingStored, Quota, QuotaLimits, QuotaRequest, QuotaStep, Store};

use super::daily_limit::Day;
use super::settings::SmsLimitSettings;
use super::validated_order::ValidatedOrder;
use crate::problem::{Code, Problem};
use crate::timestamp::ApiTime;

/// The channel whose messages cost money.
const SMS: &str = "sms";
/// How many digits at the end of a number are not part of its prefix: numbers are assigned in blocks of ten thousand.
const BLOCK: usize = 4;
/// Maximum prefixes counted for one order; an order to more is spread so widely that the hourly and daily limits
/// catch the rest.
const MOST_COUNTED: usize = 50_000;
/// Maximum prefixes checked, those with the most messages.
const MOST_LOOKED_AT: usize = 500;
/// Percentage of the daily limit at which a warning is logged.
const WARN_PERCENT: u64 = 80;
const HOUR: u64 = 3_600_000;

/// The messages of an order that cost money.
#[derive(Debug, Default)]
pub(crate) struct Paid {
    channel: Option<Channel>,
    messages: u64,
    by_prefix: HashMap<String, u32>,
}

/// Whether messages of a channel cost money.
pub(crate) fn is_paid(channel: &Channel) -> bool {
    channel.as_str() == SMS
}

impl Paid {
    /// Counts a delivery.
    pub(crate) fn add(&mut self, channel: &Channel, address: &posthaste_model::Address) {
        if !is_paid(channel) {
            return;
        }
        self.channel.get_or_insert_with(|| channel.clone());
        self.messages += 1;
        let number = address.expose();
        let prefix = number.get(..number.len().saturating_sub(BLOCK)).unwrap_or_default();
        if let Some(count) = self.by_prefix.get_mut(prefix) {
            *count += 1;
        } else if self.by_prefix.len() < MOST_COUNTED {
            self.by_prefix.insert(prefix.to_owned(), 1);
        }
    }

    /// The prefixes with the most messages.
    fn prefixes(&self) -> Vec<(String, u32)> {
        let mut all: Vec<_> = self.by_prefix.iter().map(|(prefix, count)| (prefix.clone(), *count)).collect();
        all.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        all.truncate(MOST_LOOKED_AT);
        all
    }
}

/// A share that was taken.
#[derive(Debug)]
pub(crate) struct TakenShare {
    channel: Channel,
    day: UnixMs,
    hour: UnixMs,
    taking: [u8; 8],
}

/// The limits on SMS.
pub(crate) struct SmsLimits {
    store: Store,
    clock: Arc<dyn Clock>,
    /// The time zone in which a day begins.
    day_zone: TimeZone,
    settings: SmsLimitSettings,
}

impl SmsLimits {
    /// The limits of these settings; a day begins in this time zone.
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        day_zone: TimeZone,
        settings: SmsLimitSettings,
    ) -> Self {
        Self { store, clock, day_zone, settings }
    }

    /// Takes the share of an order; `None` if it needs none, or already had one.
    pub(crate) async fn take(
        &self,
        draft: &ValidatedOrder,
        order_id: &OrderId,
        paid: &Paid,
    ) -> Result<Option<TakenShare>, Problem> {
        let Some(limits) = self.settings.limits() else { return Ok(None) };
        self.charge(QuotaStep::Take, (&draft.key, order_id), &draft.content, paid, limits).await
    }

    /// Whether one more message may be sent, for an order whose messages are counted when it is stored.
    pub(crate) async fn look(
        &self,
        (key, order_id): (&KeyId, &OrderId),
        content: &Content,
        channel: &Channel,
    ) -> Result<(), Problem> {
        let Some(limits) = self.settings.limits() else { return Ok(()) };
        let paid = Paid { channel: Some(channel.clone()), messages: 1, ..Paid::default() };
        self.charge(QuotaStep::Check, (key, order_id), content, &paid, limits).await.map(|_| ())
    }

    /// Counts the messages of a stored order, whatever is left.
    pub(crate) async fn count(&self, (key, order_id): (&KeyId, &OrderId), content: &Content, paid: &Paid) {
        if self.settings.limits().is_none() {
            return;
        }
        let counted =
            self.charge(QuotaStep::Take, (key, order_id), content, paid, QuotaLimits::default()).await;
        if counted.is_err() {
            tracing::warn!(
                event = "sms_limits.not_counted",
                "could not count the messages of a retry order in sms_limits: the store did not answer"
            );
        }
    }

    async fn charge(
        &self,
        share: QuotaStep,
        (key, order_id): (&KeyId, &OrderId),
        content: &Content,
        paid: &Paid,
        limits: QuotaLimits,
    ) -> Result<Option<TakenShare>, Problem> {
        let Some(channel) = paid.channel.clone() else { return Ok(None) };
        let now = self.clock.now();
        let day = Day::of(now, &self.day_zone);
        let hour = UnixMs(now.0 / HOUR * HOUR);
        let taken = TakenShare { channel, day: day.start, hour, taking: rand::random() };
        let each = segments::count(content.text_for(&taken.channel).expose()).segments as u64;
        let needed = each.saturating_mul(paid.messages);
        let ask = QuotaRequest {
            channel: &taken.channel,
            day: taken.day,
            hour: taken.hour,
            order_id,
            key,
            segments: needed,
            messages: paid.messages,
            limits,
            taking: taken.taking,
        };
        let hour_left = Duration::from_millis(HOUR - now.0 % HOUR);
        let (limit, most, wait) = match self.store.limit_sms(share, &ask, &paid.prefixes()).await? {
            Quota::Done { before, now: spent } => {
                tell(before, spent, self.settings.segments_a_day);
                return Ok(Some(taken));
            }
            Quota::AlreadyDone(_) => return Ok(None),
            Quota::DayLimit(_) => ("segments_a_day", limits.segments_a_day, day.end.since(now)),
            Quota::KeyLimit(_) => ("messages_an_hour", limits.messages_an_hour, hour_left),
            Quota::PrefixLimit(_) => ("to_prefix_an_hour", limits.to_prefix_an_hour, hour_left),
        };
        // A repeated order does not count again.
        if self.store.order_summary(order_id, None).await?.is_some() {
            return Ok(None);
        }
        metrics::counter!("posthaste_sms_orders_rejected_total", "limit" => limit).increment(1);
        let key = key.as_str();
        tracing::warn!(
            event = "sms_limits.order_refused",
            limit,
            most,
            key,
            segments = needed,
            messages = paid.messages,
            "order refused by sms_limits"
        );
        let detail = match limit {
            "segments_a_day" => {
                "the order exceeds today's remaining SMS segments (sms_limits.segments_a_day)"
            }
            "messages_an_hour" => {
                "the order exceeds this hour's remaining messages of the key (sms_limits.messages_an_hour)"
            }
            _ => "too many messages to one number prefix in this hour (sms_limits.to_prefix_an_hour)",
        };
        let wait = wait.max(Duration::from_secs(1));
        let problem = Problem::new(Code::SmsLimitExceeded, detail)
            .with("limit", limit)
            .with("most", most)
            .with("resets_at", ApiTime(now.after(wait)).to_string());
        // As for the daily limit of orders: no client should sleep until the next day.
        Err(if limit == "segments_a_day" { problem } else { problem.retry_after(wait) })
    }

    /// Gives back the segments of an order that was not stored.
    pub(crate) async fn give_back(
        &self,
        draft: &ValidatedOrder,
        order_id: &OrderId,
        taken: &TakenShare,
        _: &NothingStored,
    ) -> Result<(), CallError> {
        let ask = QuotaRequest {
            channel: &taken.channel,
            day: taken.day,
            hour: taken.hour,
            order_id,
            key: &draft.key,
            segments: 0,
            messages: 0,
            limits: QuotaLimits::default(),
            taking: taken.taking,
        };
        self.store.limit_sms(QuotaStep::Return, &ask, &[]).await.map(|_| ())
    }
}

/// Warns once when the day's segments are nearly used up.
#[expect(clippy::cast_precision_loss, reason = "a gauge; a day has no 2^52 segments")]
fn tell(before: u64, now: u64, most: u64) {
    metrics::gauge!("posthaste_sms_segments_today").set(now as f64);
    if crosses(before, now, most) {
        metrics::counter!("posthaste_sms_limit_warnings_total").increment(1);
        tracing::warn!(
            event = "sms_limits.nearly_used",
            segments = now,
            most,
            percent = WARN_PERCENT,
            "today's SMS segments are nearly used up"
        );
    }
}

fn crosses(before: u64, now: u64, most: u64) -> bool {
    let at = most.saturating_mul(WARN_PERCENT).div_ceil(100);
    most > 0 && before < at && now >= at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_comes_once_a_day() {
        assert!(!crosses(0, 79, 100));
        assert!(crosses(79, 80, 100) && crosses(0, 100, 100));
        assert!(!crosses(80, 90, 100));
        assert!(!crosses(0, 1_000, 0));
    }

    #[test]
    fn prefixes_omit_the_last_four_digits_and_are_sorted_by_messages() {
        let mut paid = Paid::default();
        let (sms, email): (Channel, Channel) = ("sms".parse().unwrap(), "email".parse().unwrap());
        let mut add =
            |channel: &Channel, number: &str| paid.add(channel, &posthaste_model::Address::new(number));
        for number in ["+79991234567", "+79990000001", "+79991230000"] {
            add(&sms, number);
        }
        add(&email, "a@example.org");
        assert_eq!(paid.messages, 3);
        assert_eq!(paid.prefixes(), [("+7999123".to_owned(), 2), ("+7999000".to_owned(), 1)]);
    }
}
