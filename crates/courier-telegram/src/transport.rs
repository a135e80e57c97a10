//! The transport: which bot sends which part when, and what its answer means.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::http_request::HttpResult;
use posthaste_courier::order_faults::OrderFaults;
use posthaste_courier::process::Section;
use posthaste_courier::rate_limiter::{Admission, RateLimiter};
use posthaste_courier::response_rules::{Classification, ResponseAction};
use posthaste_courier::{
    Capabilities, Envelope, FeedbackSink, Outcome, ThrottleScope, Transport, TransportStartError,
};
use posthaste_model::{Channel, Reason};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Bot};
use crate::chat::Chat;
use crate::chat_limits::{ChatLimits, SendWindow};
use crate::log;
use crate::message;
use crate::outgoing;
use crate::response_rules::{BotAnswer, TABLE, TelegramAction, TelegramRules};
use crate::sender::BotSender;
use crate::settings::{Settings, TelegramSettings as Bots};
use crate::split::TextPart;
use crate::token;
use crate::updates::{Updates, Waits};

mod pauses;

/// The slowest rate of a bot, in messages per second.
const SLOWEST: f64 = 0.5;
/// How long a begun message waits for its turn inside the transport; longer waits are left to the runtime.
const AHEAD: Duration = Duration::from_millis(250);
/// Up to this much is added at random to every pause, so that bots on several machines do not resume together.
const SPREAD: Duration = Duration::from_millis(500);
/// How long a bot is not used after its token was refused; then one message tries it again.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How many moves of a chat one call follows.
const MOST_MOVES: u8 = 2;

/// The Telegram channel.
pub struct TelegramTransport {
    channel: Channel,
    settings: Bots,
    capabilities: Capabilities,
    answers: TelegramRules,
    bots: Vec<BotSender>,
    chats: Mutex<ChatLimits>,
    order_faults: OrderFaults,
}

/// The moment of the turn, or what has to wait.
type Turn = Result<Instant, Outcome>;

impl TelegramTransport {
    /// The channel with these settings. Opens nothing.
    ///
    /// # Errors
    /// [`TransportStartError`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, TransportStartError> {
        let settings = settings.telegram;
        settings.check()?;
        let ((client, base), now) = (api::way(&settings)?, Instant::now());
        let mut bots = Vec::new();
        for token in token::read(&settings.tokens)? {
            let bot = Bot::new(token, &base, &client)?;
            let budget =
                RateLimiter::new(settings.messages_per_second, SLOWEST, settings.recover_within.get(), now);
            bots.push(BotSender { bot, budget: Mutex::new(budget), refused: Mutex::new(None) });
        }
        let chats = ChatLimits::new(
            SendWindow { messages: settings.chat_messages, span: settings.chat_span.get() },
            SendWindow { messages: settings.group_messages, span: settings.group_span.get() },
        );
        let capabilities = outgoing::capabilities(&settings, bots.len(), courier);
        let (chats, order_faults) = (Mutex::new(chats), OrderFaults::new(channel.clone()));
        Ok(Self {
            channel,
            settings,
            capabilities,
            answers: TelegramRules::embedded(&TABLE)?,
            bots,
            chats,
            order_faults,
        })
    }

    fn chats(&self) -> MutexGuard<'_, ChatLimits> {
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chat and the parts of the text, or why no message can be sent.
    fn message(&self, envelope: &Envelope) -> Result<(Chat, Vec<TextPart>), Reason> {
        let chat = Chat::read(&envelope.to.address).ok_or(Reason::InvalidAddress)?;
        let parts = message::parts(&envelope.content, &self.channel, self.settings.subject);
        let fits = !parts.is_empty() && parts.len() <= self.settings.max_parts;
        if fits { Ok((chat, parts)) } else { Err(Reason::Rejected) }
    }

    async fn one(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let (chat, parts) = match self.message(envelope) {
            Ok(message) => message,
            Err(reason) => return Outcome::Failed(reason.into()),
        };
        // If an earlier attempt may have been accepted, only an answer can show that it was not.
        if !envelope.repeat && envelope.token.is_none() && self.order_faults.is_given_up(&envelope.order_id) {
            return Outcome::Failed(Reason::Rejected.into());
        }
        // The progress of the message: how many parts were sent.
        let through = usize::try_from(envelope.token.unwrap_or(0)).unwrap_or(usize::MAX);
        let Some(part) = parts.get(through) else { return Outcome::Sent };
        match self.part(envelope, &chat, part, deadline).await {
            Outcome::Sent if through + 1 < parts.len() => {
                Outcome::Part(u32::try_from(through + 1).unwrap_or(u32::MAX))
            }
            outcome => outcome,
        }
    }

    /// Sends one part through the bot that reaches the chat: the one used last time, or else the first in the chat's
    /// order whose answer does not point to another bot. The next bot is tried only after a refusal. A bot whose
    /// token is refused is skipped; refusals of the others are then not final, because the skipped bot may be the one
    /// that reaches the chat.
    async fn part(&self, envelope: &Envelope, chat: &Chat, part: &TextPart, deadline: Instant) -> Outcome {
        let known = self.chats().bot(chat);
        let mut senders = self.in_order(chat);
        if let Some(known) = known
            && let Some(at) = senders.iter().position(|sender| sender.bot.number() == known)
        {
            senders[..=at].rotate_right(1);
        }
        let (mut refused, mut waits) = (None, None);
        for (at, sender) in senders.iter().enumerate() {
            if let Some(left) = sender.refused(Instant::now()).filter(|_| senders.len() > 1) {
                waits = Some(waits.map_or(left, |least: Duration| least.min(left)));
                continue;
            }
            let (outcome, elsewhere) = self.by(sender, envelope, chat, part, deadline).await;
            let number = sender.bot.number();
            let next = senders.get(at + 1).map(|next| next.bot.number());
            match outcome {
                Outcome::Sent if senders.len() > 1 && known != Some(number) => {
                    self.chats().reached_by(chat, Some(number));
                }
                Outcome::Stop(why) => {
                    if !self.stop_one(sender, &why) {
                        return Outcome::Stop(why);
                    }
                    waits = Some(waits.map_or(REFUSED_FOR, |least: Duration| least.min(REFUSED_FOR)));
                    continue;
                }
                _ => {}
            }
            if !elsewhere {
                return outcome;
            }
            // If the next bot has to wait, a later attempt continues with it.
            self.chats().reached_by(chat, next);
            if !matches!(refused, Some(Outcome::HardRefusal(_))) {
                refused = Some(outcome);
            }
        }
        match waits {
            Some(wait) => Outcome::Throttled { scope: ThrottleScope::Recipient, wait },
            None => refused.unwrap_or(Outcome::Failed(Reason::InvalidAddress.into())),
        }
    }

    /// Stops using this bot for a while, because its token is refused. False if no usable bot is left.
    fn stop_one(&self, sender: &BotSender, why: &str) -> bool {
        let now = Instant::now();
        sender.set_refused(Some(now + REFUSED_FOR));
        let left = self.bots.iter().any(|sender| sender.refused(now).is_none());
        if left {
            log::bot_stopped(&sender.bot, why);
            posthaste_courier::alert(&self.channel, "bot_stopped");
        }
        left
    }

    /// All bots, in an order derived from the chat, the same at every courier of the channel.
    fn in_order(&self, chat: &Chat) -> Vec<&BotSender> {
        let mut senders: Vec<&BotSender> = self.bots.iter().collect();
        if senders.len() > 1 {
            let chat = chat.bytes();
            senders.sort_by_cached_key(|sender| {
                Sha256::new().chain_update(sender.bot.number().to_be_bytes()).chain_update(&chat).finalize()
            });
        }
        senders
    }

    /// Sends one part through one bot. The flag says whether another bot may reach the chat.
    async fn by(
        &self,
        sender: &BotSender,
        envelope: &Envelope,
        chat: &Chat,
        part: &TextPart,
        deadline: Instant,
    ) -> (Outcome, bool) {
        let moved = self.chats().now_at(chat).and_then(Chat::number);
        let mut to = moved.unwrap_or_else(|| chat.clone());
        for _ in 0..=MOST_MOVES {
            let sent = match self.turn(sender, &to).await {
                Ok(sent) => sent,
                Err(wait) => return (wait, false),
            };
            let ended = sender.bot.send(&outgoing::request(&self.settings, &to, part), deadline).await;
            let answer = match ended {
                HttpResult::Response(answer) => {
                    BotAnswer::new(answer.status, answer.retry_after, &answer.body)
                }
                HttpResult::NotConnected => {
                    self.chats().give_back(&to);
                    return (Outcome::NotSent { after: None, reason: Reason::ConnectionFailed }, false);
                }
                HttpResult::Lost(reason) => return (Outcome::Unknown(reason), false),
            };
            if answer.is_taken() {
                self.order_faults.taken(&envelope.order_id);
                return (Outcome::Sent, false);
            }
            let found = self.answers.classify(&answer.response());
            self.tell(envelope, &found, answer.code());
            if !matches!(found.action, ResponseAction::Wait | ResponseAction::Unknown) {
                self.chats().give_back(&to);
            }
            let bot = sender.bot.number();
            let refused = || format!("Telegram refuses the token of bot {bot} ({})", answer.code());
            return match found.outcome(refused) {
                Err(TelegramAction::Migrate) => {
                    let Some((number, next)) =
                        answer.migrated().and_then(|number| Some((number, Chat::number(number)?)))
                    else {
                        return (Outcome::Failed(Reason::InvalidAddress.into()), false);
                    };
                    self.chats().moved(chat, number);
                    to = next;
                    continue;
                }
                Ok(Outcome::Throttled { wait, .. }) => {
                    (self.throttled(sender, &to, sent, Instant::now(), wait), false)
                }
                Ok(Outcome::Retry { reason, .. }) => (Outcome::Retry { after: None, reason }, false),
                Ok(outcome) => (outcome, found.elsewhere),
            };
        }
        (Outcome::Failed(Reason::InvalidAddress.into()), false)
    }

    /// Waits for the turn of a message to this chat by this bot, if it comes soon, and returns its moment. `Err` says
    /// what waits.
    async fn turn(&self, sender: &BotSender, to: &Chat) -> Turn {
        let now = Instant::now();
        // The chat's place is taken first: a wait of its own costs the bot nothing.
        if let Err(wait) = self.chats().admit(to, now) {
            return Err(Outcome::Throttled { scope: ThrottleScope::Recipient, wait });
        }
        // Not in the match expression itself: the budget would stay locked in its arms.
        let admission = sender.budget().admit(now, now + AHEAD);
        let at = match admission {
            Admission::At(at) => at,
            Admission::Spent(wait) => {
                self.chats().give_back(to);
                return Err(Outcome::Throttled { scope: ThrottleScope::Recipient, wait });
            }
            Admission::Paused(wait) => {
                self.chats().give_back(to);
                return Err(self.paused(wait, now));
            }
        };
        tokio::time::sleep_until(at).await;
        // A pause, or a wait of the chat, may have started meanwhile.
        let (mut chats, now) = (self.chats(), Instant::now());
        if let Some(wait) = sender.pause(now) {
            chats.give_back(to);
            return Err(self.paused(wait, now));
        }
        if let Some(wait) = chats.waits(to, now) {
            chats.give_back(to);
            return Err(Outcome::Throttled { scope: ThrottleScope::Recipient, wait });
        }
        Ok(now)
    }

    /// Logs a fault of the message or the program, once per order.
    fn tell(&self, envelope: &Envelope, found: &Classification<'_, TelegramAction>, code: u16) {
        if found.alarm && self.order_faults.is_new(&envelope.order_id) {
            log::message_rejected(&envelope.order_id, code);
        }
        if found.content && self.order_faults.refused(&envelope.order_id) {
            log::content_refused(&envelope.order_id);
        }
    }
}

#[async_trait]
impl Transport for TelegramTransport {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn refuses(&self, envelope: &Envelope) -> Option<Reason> {
        self.message(envelope).err()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(self.one(envelope, deadline).await);
        }
        outcomes
    }

    async fn check(&self) -> Result<(), String> {
        let (mut well, mut refused) = (false, None);
        for sender in &self.bots {
            match sender.bot.check().await {
                Ok(()) => {
                    sender.set_refused(None);
                    well = true;
                }
                Err(why) => {
                    log::bot_unusable(&sender.bot, &why);
                    refused.get_or_insert(why);
                }
            }
        }
        // A single unusable bot does not stop the others.
        if well { Ok(()) } else { refused.map_or(Ok(()), Err) }
    }

    async fn serve(&self, feedback: Arc<dyn FeedbackSink>, stop: CancellationToken) -> Result<(), String> {
        if !self.settings.updates {
            return Ok(());
        }
        let mut bots = JoinSet::new();
        for sender in &self.bots {
            let settings = &self.settings;
            let waits =
                Waits { again: settings.updates_retry_after.get(), rest: settings.updates_pause.get() };
            let (feedback, channel, alone) =
                (Arc::clone(&feedback), self.channel.clone(), self.bots.len() == 1);
            let updates = Updates::new(sender.bot.clone(), feedback, channel, waits, alone);
            bots.spawn(stop.clone().run_until_cancelled_owned(updates.run()));
        }
        while let Some(ended) = bots.join_next().await {
            ended.map_err(|_| "the task that receives a bot's updates panicked".to_owned())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
