//! Updates: what comes in for one bot, asked for by long polling. An update is confirmed, by the number of the next one wanted,
//! only when what it says is stored; whatever is not is told by Telegram again, for a day.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use posthaste_courier::exchange::{self, Ended};
use posthaste_courier::{Desk, List, NotStored, Notice, Said, alarm};
use posthaste_model::{Channel, Reason};
use serde::Deserialize;
use serde_json::Value;
use teloxide::payloads::{GetUpdates, GetUpdatesSetters};
use teloxide::types::AllowedUpdate;
use tokio::time::{Instant, sleep, sleep_until};

use crate::answers::Answer;
use crate::api::Bot;
use crate::heard::{Heard, heard, moment};

/// How long Telegram may keep a question open when there is nothing to tell, in seconds. It keeps none longer than 50.
const POLL: u32 = 25;
/// How long a question may take in all: longer than Telegram keeps it open.
const WITHIN: Duration = Duration::from_secs(POLL as u64 + 10);
/// A question answered with nothing is not asked again sooner.
const SHORTEST: Duration = Duration::from_secs(1);
/// Updates of one answer at most: so many that the longest messages fit an answer.
const MOST: u8 = 25;
/// Updates remembered, so that one told twice is heard once. Their numbers are no measure: after a quiet week they start anywhere.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// Conflicts in a row after which the bot's updates are left to the other program for a while.
const CONFLICTS: u32 = 3;
/// What a person who is back is taken off the list for. Telegram has called chats missing that were there.
const FORGIVEN: [Reason; 2] = [Reason::Blocked, Reason::BadAddress];

/// The updates of one bot.
pub(crate) struct Updates {
    bot: Bot,
    desk: Arc<dyn Desk>,
    channel: Channel,
    waits: Waits,
    /// Whether no other bot may reach a chat this one does not.
    alone: bool,
    /// Updates wanted of the next answer: one, after an answer that was too long.
    limit: u8,
    /// The number of the first update wanted.
    next: Option<i32>,
    known: LruCache<i64, ()>,
    /// What was told last, so that it is told once.
    told: Option<Trouble>,
    /// Questions in a row that Telegram answered with a conflict.
    conflicts: u32,
}

/// How long to wait before asking again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// Where asking failed.
    pub(crate) again: Duration,
    /// Where somebody else asks.
    pub(crate) rest: Duration,
}

/// Why updates do not come.
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
            Self::Elsewhere => "another program asks for the updates of the bot: Telegram tells one",
            Self::Webhook => "the bot has a webhook: Telegram tells nobody who asks",
            Self::Token => "Telegram refuses the token",
            Self::TooFast => "Telegram asks to wait",
            Self::NoAnswer => "Telegram does not answer, or not as the Bot API does",
            Self::NotStored => "what came in can't be stored now",
        }
    }
}

/// The good answer to the question.
#[derive(Deserialize)]
pub(crate) struct Told {
    ok: bool,
    pub(crate) result: Vec<Value>,
}

impl Updates {
    pub(crate) fn new(bot: Bot, desk: Arc<dyn Desk>, channel: Channel, waits: Waits, alone: bool) -> Self {
        let known = LruCache::new(REMEMBERED);
        Self { bot, desk, channel, waits, alone, limit: MOST, next: None, known, told: None, conflicts: 0 }
    }

    /// Asks and hears for ever. May be dropped at any point: what was not confirmed is told again.
    pub(crate) async fn run(mut self) {
        loop {
            let bot = self.bot.number();
            match self.ask().await {
                // Two that ask in turn get an answer each now and then: that is told once.
                Ok(()) if self.told == Some(Trouble::Elsewhere) && self.conflicts < CONFLICTS => {
                    self.conflicts = 0
                }
                Ok(()) => {
                    self.conflicts = 0;
                    if self.told.take().is_some() {
                        tracing::info!(bot, "updates come again");
                    }
                }
                Err((trouble, wait)) => {
                    let conflict = matches!(trouble, Trouble::Elsewhere | Trouble::Webhook);
                    self.conflicts = if conflict { self.conflicts + 1 } else { 0 };
                    if self.conflicts >= CONFLICTS {
                        self.rest(trouble).await;
                        continue;
                    }
                    if self.told.replace(trouble) != Some(trouble) {
                        tracing::warn!(bot, why = trouble.words(), "updates do not come; asked for again");
                    }
                    sleep(wait.unwrap_or(self.waits.again)).await;
                }
            }
        }
    }

    /// Leaves the updates to whoever else has them. A question after the rest finds out whether it is still so.
    async fn rest(&mut self, trouble: Trouble) {
        alarm(&self.channel, "updates");
        self.told = Some(trouble);
        // After a rest one more conflict is enough, and nothing new.
        if self.conflicts == CONFLICTS {
            tracing::error!(
                bot = self.bot.number(),
                why = trouble.words(),
                rest = ?self.waits.rest,
                "updates are not asked for any more for a while, messages go on: stop the other program or delete its \
                 webhook, or set telegram.updates = false here"
            );
        }
        sleep(self.waits.rest).await;
    }

    /// One question, and everything in its answer.
    async fn ask(&mut self) -> Result<(), (Trouble, Option<Duration>)> {
        let asked = Instant::now();
        let mut question = GetUpdates::new()
            .timeout(POLL)
            .limit(self.limit)
            .allowed_updates([AllowedUpdate::MyChatMember, AllowedUpdate::Message]);
        question.offset = self.next;
        let answer = match self.bot.updates(&question, asked + WITHIN).await {
            Ended::Answered(answer) => answer,
            Ended::Lost(Reason::BadAnswer) => {
                self.limit = 1;
                return Err((Trouble::NoAnswer, None));
            }
            Ended::NotConnected | Ended::Lost(_) => return Err((Trouble::NoAnswer, None)),
        };
        let told = serde_json::from_slice(&answer.body).ok().filter(|told: &Told| told.ok);
        let Some(told) = told.filter(|_| (200..300).contains(&answer.status)) else {
            return Err(refused(&answer));
        };
        self.limit = MOST;
        if told.result.is_empty() {
            sleep_until(asked + SHORTEST).await;
            return Ok(());
        }
        let before = self.next;
        for update in &told.result {
            self.hear(update).await.map_err(|_| (Trouble::NotStored, None))?;
        }
        // Nothing in it can be confirmed, so it would come again at once.
        if self.next == before { Err((Trouble::NoAnswer, None)) } else { Ok(()) }
    }

    /// One update: stored, then to be confirmed by the next question.
    async fn hear(&mut self, update: &Value) -> Result<(), NotStored> {
        let number = update.get("update_id").and_then(Value::as_i64);
        // One without a number can't be confirmed; a number below zero would confirm everything there is.
        let Some(number) = number.filter(|number| *number >= 0) else { return Ok(()) };
        let Some(next) = number.checked_add(1).and_then(|next| i32::try_from(next).ok()) else {
            return Ok(());
        };
        if !self.known.contains(&number) {
            if let Some(heard) = heard(update) {
                // Numbers of updates start anew now and then.
                let (bot, at) = (self.bot.number(), moment(update));
                let name = format!("{bot} {number} {}", at.map_or(0, |at| at.0));
                let notice = Notice::named(name, at.map_or(Said::Unknown, Said::Provider));
                self.store(heard, &notice).await?;
            }
            self.known.put(number, ());
        }
        self.next = Some(next);
        Ok(())
    }

    /// Updates come in their order, so whoever is on no list need not be remembered.
    async fn store(&self, heard: Heard, notice: &Notice) -> Result<(), NotStored> {
        match heard {
            // Another bot of the channel may reach them: the next message finds out, and bars them when none does.
            Heard::Gone(_) if !self.alone => {}
            Heard::Gone(addresses) => {
                for address in addresses {
                    self.desk.suppress(&address, &List::Channel, Reason::Blocked, notice).await?;
                }
            }
            Heard::Here(addresses) => {
                for address in addresses {
                    self.desk.opt_in(&address, &List::Channel, &FORGIVEN, notice).await?;
                }
            }
        }
        Ok(())
    }
}

fn refused(answer: &exchange::Answer) -> (Trouble, Option<Duration>) {
    let answer = Answer::new(answer.status, answer.retry_after, &answer.body);
    match answer.code() {
        409 if answer.says("webhook") => (Trouble::Webhook, None),
        409 => (Trouble::Elsewhere, None),
        401 | 404 => (Trouble::Token, None),
        429 => (Trouble::TooFast, answer.wait()),
        _ => (Trouble::NoAnswer, None),
    }
}
