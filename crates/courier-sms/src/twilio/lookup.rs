//! Looks up a message at Twilio before an attempt of unknown outcome is repeated.
//!
//! Twilio does not show the id of the attempt or anything else that we gave it, so a message is identified by its
//! number, sender, text and time. Two orders may send one text to one number within a minute. So the order of each
//! message is stored, here and in the feedback sink, as soon as Twilio returns the SID, and a message of another
//! order is not taken for ours. A message without an order becomes ours: of two attempts with a lost response only
//! one finds it, and the other is repeated. If that can't be decided, nothing is found.

use std::ops::RangeInclusive;
use std::time::Duration;

use posthaste_courier::http_request::{HttpResult, LONG, exchange};
use posthaste_courier::{DeliveryReceipt, Envelope, LookupResult, ReceiptStatus as Rank};
use posthaste_model::{OrderId, OutcomeKind, Reason, UnixMs};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded;

use super::send::is_message;
use super::{Inner, sid_cache, smart_encoding};
use crate::number;

/// Tolerance for the difference between Twilio's clock and our server's, and for the time from request to message at
/// Twilio.
const APART: Duration = Duration::from_secs(60);
/// Timeout of a lookup.
const LOOK_WITHIN: Duration = Duration::from_secs(20);
/// Messages per page, and maximum number of pages.
const PAGE: &str = "200";
const PAGES: usize = 10;
/// The text that Twilio adds in front of each message of a trial account.
const TRIAL: &str = "Sent from your Twilio trial account - ";

#[derive(Deserialize)]
struct Page {
    messages: Vec<Message>,
    next_page_uri: Option<String>,
}

/// A message as Twilio shows it.
#[derive(Deserialize)]
struct Message {
    sid: Option<String>,
    body: Option<String>,
    to: Option<String>,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    direction: Option<String>,
    status: Option<String>,
    error_code: Option<u32>,
    date_created: Option<String>,
}

/// The lookup can't decide, now or at all.
struct Doubt(LookupResult);

const NOT_NOW: Doubt = Doubt(LookupResult::NotNow);
const NO_RECORD: Doubt = Doubt(LookupResult::CannotTell);

impl Inner {
    pub(super) async fn look(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> LookupResult {
        // A receipt may still arrive; it is better evidence than a lookup.
        if now.since(begun) < self.settings.lookup_after.get() {
            return LookupResult::NotNow;
        }
        let _alone = self.asking.lock().await;
        match self.find(envelope, begun, now).await {
            // Do not wait forever for the list: an API key may not be allowed to read it.
            Err(Doubt(LookupResult::NotNow)) if now.since(begun) > sid_cache::KEEP => {
                LookupResult::CannotTell
            }
            Ok(found) | Err(Doubt(found)) => found,
        }
    }

    async fn find(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> Result<LookupResult, Doubt> {
        let deadline = Instant::now() + LOOK_WITHIN;
        let Some(to) = number::read(&envelope.to.address) else { return Ok(LookupResult::Never) };
        let span = UnixMs(begun.0.saturating_sub(millis(APART)))..=begun.after(self.send_within + APART);
        let text = envelope.content.text_for(&self.channel).expose();
        let ours = |message: &Message| self.is_ours(message, to, text, &span);
        let mut found = self.list(to, *span.start(), true, &ours, deadline).await?;
        if found.is_empty() {
            // Messages still queued at Twilio have no sending time yet.
            found = self.list(to, *span.start(), false, &ours, deadline).await?;
        }
        let mut nobodys = None;
        for message in &found {
            match self.whose(message, deadline).await? {
                Some(order) if order == envelope.order_id => return self.tell(envelope, message).await,
                Some(_) => {}
                None => nobodys = nobodys.or(Some(message)),
            }
        }
        match nobodys {
            None => Ok(LookupResult::Never),
            // The record of its order may have expired.
            Some(_) if now.since(begun) + APART > sid_cache::KEEP => Err(NO_RECORD),
            Some(message) => {
                self.claim(envelope, message, deadline).await?;
                self.tell(envelope, message).await
            }
        }
    }

    /// Whether a message may belong to this attempt; `Err` if this can't be decided.
    fn is_ours(
        &self,
        message: &Message,
        to: &str,
        text: &str,
        span: &RangeInclusive<UnixMs>,
    ) -> Result<bool, Doubt> {
        let settings = &self.settings;
        let sender = match settings.from.is_empty() {
            true => message.messaging_service_sid.as_deref() == Some(&settings.messaging_service_sid),
            false => message.from.as_deref() == Some(&settings.from),
        };
        let inbound = message.direction.as_deref() == Some("inbound");
        if inbound || !sender || message.to.as_deref() != Some(to) {
            return Ok(false);
        }
        let created = message.date_created.as_deref().and_then(moment).ok_or(NO_RECORD)?;
        if !span.contains(&created) {
            return Ok(false);
        }
        // An account may be set to store no texts.
        let body = message.body.as_deref().filter(|body| !body.is_empty()).ok_or(NO_RECORD)?;
        let (body, text) = (comparable(body), comparable(text));
        Ok(body == text || body.strip_prefix(TRIAL) == Some(&*text))
    }

    /// Messages that may belong to this attempt, sent since then or created since then, the newest first.
    async fn list(
        &self,
        to: &str,
        since: UnixMs,
        sent: bool,
        ours: &(dyn Fn(&Message) -> Result<bool, Doubt> + Send + Sync),
        deadline: Instant,
    ) -> Result<Vec<Message>, Doubt> {
        let base = self.account.path("/Messages.json");
        let mut next = format!("{base}?{}", self.query(to, sent.then_some(since))?);
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let page = self.page(&next, deadline).await?;
            let before = |message: &Message| {
                message.date_created.as_deref().and_then(moment).is_some_and(|created| created < since)
            };
            let seen_all = !sent && page.messages.iter().any(before);
            for message in page.messages {
                if ours(&message)? {
                    found.push(message);
                }
            }
            match page.next_page_uri {
                Some(_) if seen_all => return Ok(found),
                // The credentials must not be sent to another URL.
                Some(uri) if uri.starts_with(&format!("{base}?")) => next = uri,
                Some(_) => return Err(NOT_NOW),
                None => return Ok(found),
            }
        }
        // With so many messages to one number, ours may be among those not read.
        Err(NO_RECORD)
    }

    fn query(&self, to: &str, sent_since: Option<UnixMs>) -> Result<String, Doubt> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("To", to);
        if !self.settings.from.is_empty() {
            query.append_pair("From", &self.settings.from);
        }
        if let Some(since) = sent_since {
            query.append_pair("DateSent>", &written(since)?);
        }
        Ok(query.append_pair("PageSize", PAGE).finish())
    }

    async fn page(&self, path: &str, deadline: Instant) -> Result<Page, Doubt> {
        match exchange(self.account.get(path), LONG, deadline).await {
            HttpResult::Response(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).map_err(|_| NOT_NOW)
            }
            _ => Err(NOT_NOW),
        }
    }

    /// The order of a message, as far as it is stored.
    async fn whose(&self, message: &Message, deadline: Instant) -> Result<Option<OrderId>, Doubt> {
        let Some(sid) = message.sid.as_deref().filter(|sid| is_message(sid)) else { return Err(NO_RECORD) };
        if let Some(order) = self.seen.whose(sid) {
            return Ok(Some(order));
        }
        let Some(feedback) = self.feedback() else { return Ok(None) };
        match tokio::time::timeout_at(deadline, feedback.recall(sid)).await {
            Ok(Ok(order)) => Ok(order),
            _ => Err(NOT_NOW),
        }
    }

    /// Stores that a message is ours, before it is reported.
    async fn claim(&self, envelope: &Envelope, message: &Message, deadline: Instant) -> Result<(), Doubt> {
        let sid = message.sid.as_deref().unwrap_or_default();
        if let Some(feedback) = self.feedback() {
            let reported = feedback.remember(sid, &envelope.order_id, sid_cache::KEEP);
            match tokio::time::timeout_at(deadline, reported).await {
                Ok(Ok(())) => {}
                _ => return Err(NOT_NOW),
            }
        }
        self.seen.note(sid, &envelope.id());
        Ok(())
    }

    /// The result for our message. A number to be suppressed is reported to the feedback sink, as by a receipt.
    async fn tell(&self, envelope: &Envelope, message: &Message) -> Result<LookupResult, Doubt> {
        let code = message.error_code.map(|code| code.to_string());
        let word = self.read(message.status.as_deref().unwrap_or_default(), code.as_deref());
        // The message exists, so it was sent, whatever its status.
        let Some(word) = word else { return Ok(LookupResult::Known(OutcomeKind::Sent, Reason::None.into())) };
        if let (Some(_), Some(feedback)) = (word.suppress_after, self.feedback()) {
            let receipt = DeliveryReceipt {
                attempt: envelope.id(),
                word: word.rank,
                reason: word.reason,
                suppress_after: word.suppress_after,
            };
            feedback.receipt(&receipt).await.map_err(|_| NOT_NOW)?;
        }
        self.sender.record_status(word.rank, word.by_policy.as_deref());
        let known = match word.rank {
            Rank::Sent => OutcomeKind::Sent,
            Rank::Delivered => OutcomeKind::Delivered,
            Rank::Failed => OutcomeKind::Failed,
        };
        Ok(LookupResult::Known(known, word.reason))
    }
}

/// Normalizes a text for comparison. Look-alikes are replaced regardless of our setting: a Messaging Service may do
/// it by itself.
fn comparable(text: &str) -> String {
    smart_encoding::replace(text).replace("\r\n", "\n").trim().to_owned()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Parses a time as Twilio shows it (RFC 2822).
pub(super) fn moment(text: &str) -> Option<UnixMs> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(UnixMs)
}

/// Formats a time for a query to Twilio, rounded down to whole seconds.
fn written(moment: UnixMs) -> Result<String, Doubt> {
    let seconds = i64::try_from(moment.0 / 1000).map_err(|_| NO_RECORD)?;
    let moment = jiff::Timestamp::from_second(seconds).map_err(|_| NO_RECORD)?;
    Ok(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written_as_twilio_does() {
        let at = UnixMs(1_692_853_305_000);
        assert_eq!(moment("Thu, 24 Aug 2023 05:01:45 +0000"), Some(at));
        assert_eq!(written(at.after(Duration::from_millis(999))).ok().unwrap(), "2023-08-24T05:01:45Z");
        assert_eq!(moment("2023-08-24T05:01:45Z"), None);
    }
}
