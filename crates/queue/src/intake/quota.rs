//! How much may be sent by SMS: segments a day, and messages an hour of one key and to numbers of one prefix. A share is taken
//! before an order is stored, and its segments are given back when it is not.
//!
//! Messages are paid for, and numbers that share what their operator gets are what toll fraud lives on: who can give orders, by a
//! key that leaked or a form anybody may fill in, sends to a block of numbers of their own. That is seen by the prefix, whatever
//! the key; a key that is careless, by its hour; and the bill has an end, by the day.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use posthaste_model::{Channel, Content, Suffix, UnixMs, segments};
use posthaste_store::{CallError, KeyId, NothingStored, Quota, QuotaAsk, QuotaLimits, Share};
use serde::Deserialize;

use super::daily::Day;
use super::draft::Draft;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The channel whose messages are paid for.
const SMS: &str = "sms";
/// Digits at the end of a number that its prefix is without: numbers are handed out by blocks of ten thousand.
const BLOCK: usize = 4;
/// Prefixes counted of one order; an order to more of them is spread so wide that the others are seen by the hour and the day.
const MOST_COUNTED: usize = 50_000;
/// Prefixes looked at, those with the most messages.
const MOST_LOOKED_AT: usize = 500;
/// What is told of the day when this share of it is spent.
const WARN_PERCENT: u64 = 80;
const HOUR: u64 = 3_600_000;

/// What may be sent by SMS: the section `[sms_limits]`; 0: without limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsLimitSettings {
    /// Segments a day of all keys together.
    pub segments_a_day: u64,
    /// Messages an hour of one API key.
    pub messages_an_hour: u64,
    /// Messages an hour to numbers that differ in their last four digits alone, of all keys together.
    pub to_prefix_an_hour: u64,
}

impl SmsLimitSettings {
    fn limits(&self) -> Option<QuotaLimits> {
        let &Self { segments_a_day, messages_an_hour, to_prefix_an_hour } = self;
        let any = segments_a_day + messages_an_hour + to_prefix_an_hour > 0;
        any.then_some(QuotaLimits { segments_a_day, messages_an_hour, to_prefix_an_hour })
    }
}

impl fmt::Display for SmsLimitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |most: u64| if most == 0 { "any number of".to_owned() } else { most.to_string() };
        let (day, hour, prefix) =
            (any(self.segments_a_day), any(self.messages_an_hour), any(self.to_prefix_an_hour));
        write!(
            f,
            "{day} segments a day, {hour} messages an hour of a key, {prefix} to numbers that begin alike"
        )
    }
}

/// The messages of an order that are paid for.
#[derive(Debug, Default)]
pub(crate) struct Paid {
    channel: Option<Channel>,
    messages: u64,
    by_prefix: HashMap<String, u32>,
}

/// Whether messages of a channel are paid for.
pub(crate) fn is_paid(channel: &Channel) -> bool {
    channel.as_str() == SMS
}

impl Paid {
    /// Counts a row.
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
pub(crate) struct Taken {
    channel: Channel,
    day: UnixMs,
    hour: UnixMs,
    taking: [u8; 8],
}

/// Takes the share of an order; `None` when it needs none, or had one.
pub(crate) async fn take(
    state: &AppState,
    draft: &Draft,
    suffix: &Suffix,
    paid: &Paid,
) -> Result<Option<Taken>, Problem> {
    let Some(limits) = state.settings.sms_limits.limits() else { return Ok(None) };
    charge(state, Share::Take, (&draft.key, suffix), &draft.content, paid, limits).await
}

/// Whether a message more may be sent, of an order whose messages are counted when it is stored.
pub(crate) async fn look(
    state: &AppState,
    (key, suffix): (&KeyId, &Suffix),
    content: &Content,
    channel: &Channel,
) -> Result<(), Problem> {
    let Some(limits) = state.settings.sms_limits.limits() else { return Ok(()) };
    let paid = Paid { channel: Some(channel.clone()), messages: 1, ..Paid::default() };
    charge(state, Share::Look, (key, suffix), content, &paid, limits).await.map(|_| ())
}

/// Counts the messages of an order that is stored, whatever is left.
pub(crate) async fn count(
    state: &AppState,
    (key, suffix): (&KeyId, &Suffix),
    content: &Content,
    paid: &Paid,
) {
    if state.settings.sms_limits.limits().is_none() {
        return;
    }
    let counted = charge(state, Share::Take, (key, suffix), content, paid, QuotaLimits::default()).await;
    if counted.is_err() {
        tracing::warn!(
            "the messages of a repeated order are not counted in sms_limits: the store did not answer"
        );
    }
}

async fn charge(
    state: &AppState,
    share: Share,
    (key, suffix): (&KeyId, &Suffix),
    content: &Content,
    paid: &Paid,
    limits: QuotaLimits,
) -> Result<Option<Taken>, Problem> {
    let Some(channel) = paid.channel.clone() else { return Ok(None) };
    let now = state.clock.now();
    let day = Day::of(now, &state.rules.day_zone);
    let hour = UnixMs(now.0 / HOUR * HOUR);
    let taken = Taken { channel, day: day.start, hour, taking: rand::random() };
    let each = segments::count(content.text_for(&taken.channel).expose()).segments as u64;
    let needed = each.saturating_mul(paid.messages);
    let ask = QuotaAsk {
        channel: &taken.channel,
        day: taken.day,
        hour: taken.hour,
        suffix,
        key,
        segments: needed,
        messages: paid.messages,
        limits,
        taking: taken.taking,
    };
    let hour_left = Duration::from_millis(HOUR - now.0 % HOUR);
    let (limit, most, wait) = match state.store.quota(share, &ask, &paid.prefixes()).await? {
        Quota::Done { before, now: spent } => {
            tell(before, spent, state.settings.sms_limits.segments_a_day);
            return Ok(Some(taken));
        }
        Quota::Same(_) => return Ok(None),
        Quota::Day(_) => ("segments_a_day", limits.segments_a_day, day.end.since(now)),
        Quota::Key(_) => ("messages_an_hour", limits.messages_an_hour, hour_left),
        Quota::Prefix(_) => ("to_prefix_an_hour", limits.to_prefix_an_hour, hour_left),
    };
    // A repeated order is no new one.
    if state.store.glance(suffix, None).await?.is_some() {
        return Ok(None);
    }
    metrics::counter!("posthaste_queue_sms_refused_total", "limit" => limit).increment(1);
    let key = key.as_str();
    tracing::warn!(
        limit,
        most,
        key,
        segments = needed,
        messages = paid.messages,
        "an order was refused by sms_limits"
    );
    let detail = match limit {
        "segments_a_day" => "too few segments are left of this day for the order (sms_limits.segments_a_day)",
        "messages_an_hour" => {
            "too few messages are left of this hour for the key (sms_limits.messages_an_hour)"
        }
        _ => "too many messages to numbers that begin alike in this hour (sms_limits.to_prefix_an_hour)",
    };
    let wait = wait.max(Duration::from_secs(1));
    Err(Problem::new(Code::SmsLimit, detail).with("limit", limit).with("most", most).retry_after(wait))
}

/// Gives the segments of an order back that was not stored.
pub(crate) async fn give_back(
    state: &AppState,
    draft: &Draft,
    suffix: &Suffix,
    taken: &Taken,
    _: &NothingStored,
) -> Result<(), CallError> {
    let ask = QuotaAsk {
        channel: &taken.channel,
        day: taken.day,
        hour: taken.hour,
        suffix,
        key: &draft.key,
        segments: 0,
        messages: 0,
        limits: QuotaLimits::default(),
        taking: taken.taking,
    };
    state.store.quota(Share::Return, &ask, &[]).await.map(|_| ())
}

/// Tells once that the day is nearly spent.
#[expect(clippy::cast_precision_loss, reason = "a gauge; a day has no 2^52 segments")]
fn tell(before: u64, now: u64, most: u64) {
    metrics::gauge!("posthaste_queue_sms_segments_today").set(now as f64);
    if crosses(before, now, most) {
        metrics::counter!("posthaste_queue_sms_warnings_total").increment(1);
        tracing::warn!(
            segments = now,
            most,
            "{WARN_PERCENT} % of the SMS segments of this day are spent; orders beyond sms_limits.segments_a_day are refused until \
             the next day begins"
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
    fn prefixes_are_numbers_without_their_last_four_digits_the_fullest_first() {
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
