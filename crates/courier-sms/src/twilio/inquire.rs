//! A look at what Twilio has, before an attempt of unknown outcome is repeated.
//!
//! Twilio shows neither an attempt's name nor anything else we gave it, so a message is known by its number, its sender, its text
//! and its moment. Two orders may send one text to one number within a minute; so it is written down whose each message is as soon
//! as Twilio names it, here and at the desk, and a message that is another order's is not taken for ours. One that is nobody's
//! becomes ours: of two attempts with a lost answer only one finds it, and the other is repeated. Where that can't be told,
//! nothing is found.

use std::ops::RangeInclusive;
use std::time::Duration;

use posthaste_courier::exchange::{Ended, LONG, exchange};
use posthaste_courier::{Envelope, Found, Receipt, Word as Rank};
use posthaste_model::{Reason, Suffix, UnixMs, Verdict};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded;

use super::create::is_message;
use super::{Inner, lookalikes, seen};
use crate::number;

/// How far Twilio's clock and that of our server may be apart, and how long a request may lie with Twilio before it is a message.
const APART: Duration = Duration::from_secs(60);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(20);
/// Messages of a page, and pages at most.
const PAGE: &str = "200";
const PAGES: usize = 10;
/// What Twilio puts before each text of an account that is on trial.
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

/// It can't be found out, now or at all.
struct Doubt(Found);

const NOT_NOW: Doubt = Doubt(Found::NotNow);
const NEVER_TOLD: Doubt = Doubt(Found::CannotTell);

impl Inner {
    pub(super) async fn look(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> Found {
        // A receipt may come, which is better evidence than a look.
        if now.since(begun) < self.settings.ask_after.get() {
            return Found::NotNow;
        }
        let _alone = self.asking.lock().await;
        match self.find(envelope, begun, now).await {
            // Nobody waits for ever for a list that does not come; a key may not be allowed to see it.
            Err(Doubt(Found::NotNow)) if now.since(begun) > seen::KEEP => Found::CannotTell,
            Ok(found) | Err(Doubt(found)) => found,
        }
    }

    async fn find(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> Result<Found, Doubt> {
        let deadline = Instant::now() + LOOK_WITHIN;
        let Some(to) = number::read(&envelope.to.address) else { return Ok(Found::Never) };
        let span = UnixMs(begun.0.saturating_sub(millis(APART)))..=begun.after(self.send_within + APART);
        let text = envelope.content.text_for(&self.channel).expose();
        let ours = |message: &Message| self.is_ours(message, to, text, &span);
        let mut found = self.list(to, *span.start(), true, &ours, deadline).await?;
        if found.is_empty() {
            // What still waits with Twilio has no moment of sending yet.
            found = self.list(to, *span.start(), false, &ours, deadline).await?;
        }
        let mut nobodys = None;
        for message in &found {
            match self.whose(message, deadline).await? {
                Some(order) if order == envelope.suffix => return self.tell(envelope, message).await,
                Some(_) => {}
                None => nobodys = nobodys.or(Some(message)),
            }
        }
        match nobodys {
            None => Ok(Found::Never),
            // Whose it is may have been forgotten.
            Some(_) if now.since(begun) + APART > seen::KEEP => Err(NEVER_TOLD),
            Some(message) => {
                self.claim(envelope, message, deadline).await?;
                self.tell(envelope, message).await
            }
        }
    }

    /// Whether a message may be this attempt's; `Err` when it can't be told.
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
        let created = message.date_created.as_deref().and_then(moment).ok_or(NEVER_TOLD)?;
        if !span.contains(&created) {
            return Ok(false);
        }
        // An account may be told to keep no texts.
        let body = message.body.as_deref().filter(|body| !body.is_empty()).ok_or(NEVER_TOLD)?;
        let (body, text) = (comparable(body), comparable(text));
        Ok(body == text || body.strip_prefix(TRIAL) == Some(&*text))
    }

    /// The messages that may be this attempt's: of those sent since then, or of those created since then, the newest first.
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
                // The credential goes to no other place.
                Some(uri) if uri.starts_with(&format!("{base}?")) => next = uri,
                Some(_) => return Err(NOT_NOW),
                None => return Ok(found),
            }
        }
        // With so many messages to one number, ours may be among those not looked at.
        Err(NEVER_TOLD)
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
            Ended::Answered(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).map_err(|_| NOT_NOW)
            }
            _ => Err(NOT_NOW),
        }
    }

    /// Whose a message is, by what was written down.
    async fn whose(&self, message: &Message, deadline: Instant) -> Result<Option<Suffix>, Doubt> {
        let Some(sid) = message.sid.as_deref().filter(|sid| is_message(sid)) else { return Err(NEVER_TOLD) };
        if let Some(order) = self.seen.whose(sid) {
            return Ok(Some(order));
        }
        let Some(desk) = self.desk() else { return Ok(None) };
        match tokio::time::timeout_at(deadline, desk.recall(sid)).await {
            Ok(Ok(order)) => Ok(order),
            _ => Err(NOT_NOW),
        }
    }

    /// Writes down that a message is ours, before it is told.
    async fn claim(&self, envelope: &Envelope, message: &Message, deadline: Instant) -> Result<(), Doubt> {
        let sid = message.sid.as_deref().unwrap_or_default();
        if let Some(desk) = self.desk() {
            let told = desk.remember(sid, &envelope.suffix, seen::KEEP);
            match tokio::time::timeout_at(deadline, told).await {
                Ok(Ok(())) => {}
                _ => return Err(NOT_NOW),
            }
        }
        self.seen.note(sid, &envelope.id());
        Ok(())
    }

    /// What Twilio says of our message. A number that must not be used again is told to the desk, as a receipt would be.
    async fn tell(&self, envelope: &Envelope, message: &Message) -> Result<Found, Doubt> {
        let code = message.error_code.map(|code| code.to_string());
        let word = self.read(message.status.as_deref().unwrap_or_default(), code.as_deref());
        // It is there, whatever else is said of it.
        let Some(word) = word else { return Ok(Found::Known(Verdict::Sent, Reason::None)) };
        if let (Some(_), Some(desk)) = (word.ban, self.desk()) {
            let receipt =
                Receipt { attempt: envelope.id(), word: word.rank, reason: word.reason, ban: word.ban };
            desk.receipt(&receipt).await.map_err(|_| NOT_NOW)?;
        }
        self.sender.is_told(word.rank, word.by_policy.as_deref());
        let verdict = match word.rank {
            Rank::Sent => Verdict::Sent,
            Rank::Delivered => Verdict::Delivered,
            Rank::Failed => Verdict::Failed,
        };
        Ok(Found::Known(verdict, word.reason))
    }
}

/// A text without what may change on its way. Look-alikes are replaced whatever our setting is: a Messaging Service may do it of
/// its own.
fn comparable(text: &str) -> String {
    lookalikes::replace(text).replace("\r\n", "\n").trim().to_owned()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as Twilio shows it (RFC 2822).
pub(super) fn moment(text: &str) -> Option<UnixMs> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(UnixMs)
}

/// A moment as Twilio is asked for it: whole seconds, down.
fn written(moment: UnixMs) -> Result<String, Doubt> {
    let seconds = i64::try_from(moment.0 / 1000).map_err(|_| NEVER_TOLD)?;
    let moment = jiff::Timestamp::from_second(seconds).map_err(|_| NEVER_TOLD)?;
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
