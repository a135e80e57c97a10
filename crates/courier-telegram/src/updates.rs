//! Updates of one bot, requested by long polling. An update is confirmed (by requesting from the next number on) only
//! after it is stored; Telegram sends unconfirmed updates again, for a day.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use posthaste_courier::http_request::{self, HttpResult};
use posthaste_courier::{ConsentNotice, FeedbackSink, NotStored, NoticeMoment, SuppressionList, alert};
use posthaste_model::{Channel, Reason};
use serde::Deserialize;
use serde_json::Value;
use teloxide::payloads::{GetUpdates, GetUpdatesSetters};
use teloxide::types::AllowedUpdate;
use tokio::time::{Instant, sleep, sleep_until};

use crate::api::Bot;
use crate::response_rules::BotAnswer;
use crate::update_event::{UpdateEvent, moment, received};

/// How long Telegram may hold a request open while there are no updates, in seconds. It never holds one longer than 50.
const POLL: u32 = 25;
/// Time limit for a whole request: longer than Telegram holds it open.
const WITHIN: Duration = Duration::from_secs(POLL as u64 + 10);
/// Shortest interval between two requests if the first returned no updates.
const SHORTEST: Duration = Duration::from_secs(1);
/// Maximum updates per answer: few enough that the longest messages fit.
const MOST: u8 = 25;
/// Updates remembered, so that a repeated one is handled once. Comparing their numbers is no use: after a quiet week they start
/// anywhere.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// Conflicts in a row after which the bot's updates are left to the other program for a while.
const CONFLICTS: u32 = 3;
/// The suppression reasons that a chat's return deletes. Telegram has reported existing chats as missing.
const FORGIVEN: [Reason; 2] = [Reason::Blocked, Reason::InvalidAddress];

/// The updates of one bot.
pub(crate) struct Updates {
    bot: Bot,
    feedback: Arc<dyn FeedbackSink>,
    channel: Channel,
    waits: Waits,
    /// Whether this is the channel's only bot, so that no other may reach a chat this one can't.
    alone: bool,
    /// Maximum updates in the next answer: one, after an answer that was too long.
    limit: u8,
    /// The number of the first update to request.
    next: Option<i32>,
    known: LruCache<i64, ()>,
    /// The trouble logged last, so that it is logged once.
    reported: Option<Trouble>,
    /// Conflicts that Telegram reported in a row.
    conflicts: u32,
}

/// How long to wait before the next request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// After a failed request.
    pub(crate) again: Duration,
    /// While another program receives the updates.
    pub(crate) rest: Duration,
}

/// Why no updates are received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Elsewhere,
    Webhook,
    Token,
    TooFast,
    NoAnswer,
    NotStored,
}

impl Trouble {
    fn words(self) -> &'static str {
        match self {
            Self::Elsewhere => "another program requests the bot's updates; Telegram gives them to only one",
            Self::Webhook => "the bot has a webhook; Telegram gives no updates on request while it is set",
            Self::Token => "Telegram refuses the bot's token",
            Self::TooFast => "Telegram asks to wait",
            Self::NoAnswer => "no answer, or not a valid answer of the Bot API",
            Self::NotStored => "received updates can't be stored at the moment",
        }
    }
}

/// The answer that carries updates.
#[derive(Deserialize)]
pub(crate) struct GetUpdatesAnswer {
    ok: bool,
    pub(crate) result: Vec<Value>,
}

impl Updates {
    pub(crate) fn new(
        bot: Bot,
        feedback: Arc<dyn FeedbackSink>,
        channel: Channel,
        waits: Waits,
        alone: bool,
    ) -> Self {
        let known = LruCache::new(REMEMBERED);
        Self {
            bot,
            feedback,
            channel,
            waits,
            alone,
            limit: MOST,
            next: None,
            known,
            reported: None,
            conflicts: 0,
        }
    }

    /// Requests and handles updates for ever. May be dropped at any point: Telegram repeats what was not confirmed.
    pub(crate) async fn run(mut self) {
        loop {
            let bot = self.bot.number();
            match self.ask().await {
                // Two programs that request in turn each get an answer now and then: log that once.
                Ok(()) if self.reported == Some(Trouble::Elsewhere) && self.conflicts < CONFLICTS => {
                    self.conflicts = 0
                }
                Ok(()) => {
                    self.conflicts = 0;
                    if self.reported.take().is_some() {
                        tracing::info!(event = "updates.resumed", bot, "receiving updates again");
                    }
                }
                Err((trouble, wait)) => {
                    let conflict = matches!(trouble, Trouble::Elsewhere | Trouble::Webhook);
                    self.conflicts = if conflict { self.conflicts + 1 } else { 0 };
                    if self.conflicts >= CONFLICTS {
                        self.rest(trouble).await;
                        continue;
                    }
                    if self.reported.replace(trouble) != Some(trouble) {
                        tracing::warn!(
                            event = "updates.failed",
                            bot,
                            why = trouble.words(),
                            "can't receive updates; retrying"
                        );
                    }
                    sleep(wait.unwrap_or(self.waits.again)).await;
                }
            }
        }
    }

    /// Leaves the updates to the other program for a while. One request after the rest finds out whether it is still there.
    async fn rest(&mut self, trouble: Trouble) {
        alert(&self.channel, "updates_paused");
        self.reported = Some(trouble);
        // After a rest a single conflict is enough to rest again, and nothing new to log.
        if self.conflicts == CONFLICTS {
            tracing::error!(
                event = "updates.paused",
                bot = self.bot.number(),
                why = trouble.words(),
                seconds = self.waits.rest.as_secs(),
                "updates paused, sending goes on; stop the other program or set telegram.updates = false"
            );
        }
        sleep(self.waits.rest).await;
    }

    /// Makes one request and handles every update in its answer.
    async fn ask(&mut self) -> Result<(), (Trouble, Option<Duration>)> {
        let requested = Instant::now();
        let mut question = GetUpdates::new()
            .timeout(POLL)
            .limit(self.limit)
            .allowed_updates([AllowedUpdate::MyChatMember, AllowedUpdate::Message]);
        question.offset = self.next;
        let answer = match self.bot.updates(&question, requested + WITHIN).await {
            HttpResult::Response(answer) => answer,
            HttpResult::Lost(Reason::InvalidProviderResponse) => {
                self.limit = 1;
                return Err((Trouble::NoAnswer, None));
            }
            HttpResult::NotConnected | HttpResult::Lost(_) => return Err((Trouble::NoAnswer, None)),
        };
        let reported =
            serde_json::from_slice(&answer.body).ok().filter(|reported: &GetUpdatesAnswer| reported.ok);
        let Some(reported) = reported.filter(|_| (200..300).contains(&answer.status)) else {
            return Err(refused(&answer));
        };
        self.limit = MOST;
        if reported.result.is_empty() {
            sleep_until(requested + SHORTEST).await;
            return Ok(());
        }
        let before = self.next;
        for update in &reported.result {
            self.hear(update).await.map_err(|_| (Trouble::NotStored, None))?;
        }
        // None of these updates can be confirmed, so they would come again at once.
        if self.next == before { Err((Trouble::NoAnswer, None)) } else { Ok(()) }
    }

    /// Stores one update; the next request confirms it.
    async fn hear(&mut self, update: &Value) -> Result<(), NotStored> {
        let number = update.get("update_id").and_then(Value::as_i64);
        // An update without a number can't be confirmed; a negative number would confirm every update there is.
        let Some(number) = number.filter(|number| *number >= 0) else { return Ok(()) };
        let Some(next) = number.checked_add(1).and_then(|next| i32::try_from(next).ok()) else {
            return Ok(());
        };
        if !self.known.contains(&number) {
            if let Some(received) = received(update) {
                // Update numbers start over now and then.
                let (bot, at) = (self.bot.number(), moment(update));
                let name = format!("{bot} {number} {}", at.map_or(0, |at| at.0));
                let notice =
                    ConsentNotice::named(name, at.map_or(NoticeMoment::Unknown, NoticeMoment::Provider));
                self.store(received, &notice).await?;
            }
            self.known.put(number, ());
        }
        self.next = Some(next);
        Ok(())
    }

    /// Updates arrive in order, so an opt-in of an address that is on no list need not be remembered.
    async fn store(&self, received: UpdateEvent, notice: &ConsentNotice) -> Result<(), NotStored> {
        match received {
            // Another bot of the channel may reach the chat: the next message finds out, and suppresses it if none does.
            UpdateEvent::Gone(_) if !self.alone => {}
            UpdateEvent::Gone(addresses) => {
                for address in addresses {
                    self.feedback
                        .suppress(&address, &SuppressionList::Channel, Reason::Blocked, notice)
                        .await?;
                }
            }
            UpdateEvent::Here(addresses) => {
                for address in addresses {
                    self.feedback.opt_in(&address, &SuppressionList::Channel, &FORGIVEN, notice).await?;
                }
            }
        }
        Ok(())
    }
}

fn refused(answer: &http_request::HttpResponse) -> (Trouble, Option<Duration>) {
    let answer = BotAnswer::new(answer.status, answer.retry_after, &answer.body);
    match answer.code() {
        409 if answer.says("webhook") => (Trouble::Webhook, None),
        409 => (Trouble::Elsewhere, None),
        401 | 404 => (Trouble::Token, None),
        429 => (Trouble::TooFast, answer.wait()),
        _ => (Trouble::NoAnswer, None),
    }
}
