//! The kept messages, bounded in number, and their form in Twilio's answers.

use std::collections::{HashMap, VecDeque};

use posthaste_model::UnixMs;
use serde_json::{Value, json};

use super::errors;
use crate::fake_provider::Form;

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) sid: String,
    pub(super) to: String,
    pub(super) from: Option<String>,
    pub(super) service: Option<String>,
    pub(super) body: String,
    pub(super) segments: usize,
    pub(super) status: &'static str,
    pub(super) created: UnixMs,
    pub(super) updated: UnixMs,
    pub(super) sent: Option<UnixMs>,
    pub(super) error: Option<u16>,
    pub(super) callback: Option<String>,
    /// Whether a person sent it.
    pub(super) inbound: bool,
}

impl Kept {
    /// Who it counts for: number or service.
    pub(super) fn sender(&self) -> &str {
        self.from.as_deref().or(self.service.as_deref()).unwrap_or_default()
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.status, "accepted" | "queued" | "sending")
    }

    pub(super) fn json(&self, account: &str) -> Value {
        let uri = format!("/2010-04-01/Accounts/{account}/Messages/{}", self.sid);
        // With a service, no sender is chosen yet when the message is accepted.
        let segments = if self.status == "accepted" { 0 } else { self.segments };
        json!({
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": self.body,
            "date_created": date(self.created),
            "date_sent": self.sent.map(date),
            "date_updated": date(self.updated),
            "direction": if self.inbound { "inbound" } else { "outbound-api" },
            "error_code": self.error,
            "error_message": self.error.map(errors::words),
            "from": self.from,
            "messaging_service_sid": self.service,
            "num_media": "0",
            "num_segments": segments.to_string(),
            "price": null,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": { "media": format!("{uri}/Media.json") },
            "to": self.to,
            "uri": format!("{uri}.json"),
        })
    }
}

/// RFC 2822, in GMT.
fn date(at: UnixMs) -> String {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let zoned = at.map(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    zoned.and_then(|zoned| jiff::fmt::rfc2822::to_string(&zoned).ok()).unwrap_or_default()
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Messages {
    by_sid: HashMap<String, Kept>,
    order: VecDeque<String>,
    /// How many messages of a sender wait.
    waiting: HashMap<String, usize>,
}

impl Messages {
    pub(super) fn put(&mut self, kept: Kept, most: usize) {
        if kept.is_waiting() {
            *self.waiting.entry(kept.sender().to_owned()).or_insert(0) += 1;
        }
        self.order.push_back(kept.sid.clone());
        self.by_sid.insert(kept.sid.clone(), kept);
        while self.order.len() > most.max(1) {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(kept) = self.by_sid.remove(&oldest).filter(Kept::is_waiting) {
                self.less(kept.sender());
            }
        }
    }

    pub(super) fn get(&self, sid: &str) -> Option<&Kept> {
        self.by_sid.get(sid)
    }

    pub(super) fn waiting(&self, sender: &str) -> usize {
        self.waiting.get(sender).copied().unwrap_or(0)
    }

    /// Sets a new status; returns the message with it.
    pub(super) fn advance(
        &mut self,
        sid: &str,
        status: &'static str,
        error: Option<u16>,
        now: UnixMs,
    ) -> Option<Kept> {
        let kept = self.by_sid.get_mut(sid)?;
        let waited = kept.is_waiting();
        (kept.status, kept.updated, kept.error) = (status, now, error);
        if status == "sent" {
            kept.sent = Some(now);
        }
        let kept = kept.clone();
        if waited && !kept.is_waiting() {
            self.less(kept.sender());
        }
        Some(kept)
    }

    fn less(&mut self, sender: &str) {
        if let Some(waiting) = self.waiting.get_mut(sender) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.waiting.remove(sender);
            }
        }
    }

    /// The last message to a number.
    pub(super) fn last_to(&self, number: &str) -> Option<&Kept> {
        let newest = self.order.iter().rev().filter_map(|sid| self.by_sid.get(sid));
        newest.filter(|kept| kept.to == number).take(1).next()
    }

    /// A page of them, selected by the query. `Err`: a parameter is invalid.
    pub(super) fn list(&self, account: &str, form: &Form) -> Result<Value, ()> {
        let number =
            |name: &str, usual: usize| form.get(name).map_or(Ok(usual), |text| text.parse().map_err(|_| ()));
        let (size, page) = (number("PageSize", 50)?.clamp(1, 1_000), number("Page", 0)?);
        let filter = Filter::of(form)?;
        let newest = self.order.iter().rev().filter_map(|sid| self.by_sid.get(sid));
        let start = size.checked_mul(page).ok_or(())?;
        let mut found: Vec<_> = newest.filter(|kept| filter.fits(kept)).skip(start).take(size + 1).collect();
        let more = found.len() > size;
        found.truncate(size);
        let uri = |page: usize| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let names = form.pairs().filter(|(name, _)| !matches!(*name, "Page" | "PageSize" | "PageToken"));
            query.extend_pairs(names);
            query.append_pair("PageSize", &size.to_string()).append_pair("Page", &page.to_string());
            format!("/2010-04-01/Accounts/{account}/Messages.json?{}", query.finish())
        };
        Ok(json!({
            "messages": found.iter().map(|kept| kept.json(account)).collect::<Vec<_>>(),
            "first_page_uri": uri(0),
            "previous_page_uri": page.checked_sub(1).map(uri),
            "next_page_uri": more.then(|| uri(page + 1)),
            "uri": uri(page),
            "page": page,
            "page_size": size,
            "start": start,
            "end": (start + found.len()).saturating_sub(1),
        }))
    }
}

/// Which messages are wanted.
struct Filter<'a> {
    to: Option<&'a str>,
    from: Option<&'a str>,
    /// Milliseconds, from (inclusive) and before (exclusive).
    dates: Vec<(i64, i64)>,
}

impl<'a> Filter<'a> {
    fn of(form: &'a Form) -> Result<Self, ()> {
        let mut dates = Vec::new();
        for (name, value) in form.pairs() {
            // `DateSent>=2026-01-01` is the name `DateSent>` with a value.
            let (begin, end) = match name {
                "DateSent" | "DateSent>" | "DateSent<" => span(value).ok_or(())?,
                _ => continue,
            };
            dates.push(match name {
                "DateSent" => (begin, end),
                "DateSent>" => (begin, i64::MAX),
                _ => (i64::MIN, end),
            });
        }
        Ok(Self { to: form.get("To"), from: form.get("From"), dates })
    }

    fn fits(&self, kept: &Kept) -> bool {
        let at = i64::try_from(kept.sent.unwrap_or(kept.created).0).unwrap_or(i64::MAX);
        self.to.is_none_or(|to| kept.to == to)
            && self.from.is_none_or(|from| kept.from.as_deref() == Some(from))
            && self.dates.iter().all(|(begin, end)| (*begin..*end).contains(&at))
    }
}

/// The span of a date: a whole day, or the second of a time.
fn span(text: &str) -> Option<(i64, i64)> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        let second = moment.as_second().checked_mul(1_000)?;
        return Some((second, second.checked_add(1_000)?));
    }
    let day = text.parse::<jiff::civil::Date>().ok()?;
    let midnight = |day: jiff::civil::Date| day.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let (begin, end) = (midnight(day)?, midnight(day.tomorrow().ok()?)?);
    Some((begin.timestamp().as_millisecond(), end.timestamp().as_millisecond()))
}
