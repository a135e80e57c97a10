//! The transport: which bot sends which part when, and what its answer means.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::budget::{Admission, Budget};
use posthaste_courier::exchange::Ended;
use posthaste_courier::process::Section;
use posthaste_courier::told::Told;
use posthaste_courier::{Abilities, Desk, Envelope, Outcome, Scope, Transport};
use posthaste_model::{Channel, Reason};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answers::{Answer, Answers, BadTable, Meaning, Verdict};
use crate::api::{self, Bot};
use crate::chat::Chat;
use crate::chats::{Chats, Window};
use crate::message;
use crate::outgoing;
use crate::sender::Sender;
use crate::settings::{BadSetting, Settings, Telegram as Bots};
use crate::split::Part;
use crate::token;
use crate::updates::{Updates, Waits};

/// The slowest a bot gets, in messages a second.
const SLOWEST: f64 = 0.5;
/// How long a begun message waits for its turn with the transport; longer waits are the runtime's.
const AHEAD: Duration = Duration::from_millis(250);
/// A part of so much is added to every pause, so that bots on several machines do not come back together.
const SPREAD: Duration = Duration::from_millis(500);
/// How long a bot is not used whose token was refused; then one message asks again.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// Moves of one chat followed in one call.
const MOST_MOVES: u8 = 2;
/// How often nobody is found at an address, on different days, before it is not used any more. The server has said so of chats
/// that were there.
const STRIKES: u8 = 3;

/// The Telegram channel.
pub struct Telegram {
    channel: Channel,
    settings: Bots,
    abilities: Abilities,
    answers: Answers,
    bots: Vec<Sender>,
    chats: Mutex<Chats>,
    told: Told,
}

/// What makes the channel unusable before it starts.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A setting.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The table of answers.
    #[error(transparent)]
    Table(#[from] BadTable),
}

/// Whose turn it is, or who has to wait.
type Turn = Result<Instant, Outcome>;

impl Telegram {
    /// The channel with these settings. Opens nothing.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, Unusable> {
        let settings = settings.telegram;
        settings.check()?;
        let ((client, base), now) = (api::way(&settings)?, Instant::now());
        let mut bots = Vec::new();
        for token in token::read(&settings.tokens)? {
            let bot = Bot::new(token, &base, &client)?;
            let budget = Budget::new(settings.rate, SLOWEST, settings.recover_within.get(), now);
            bots.push(Sender { bot, budget: Mutex::new(budget), refused: Mutex::new(None) });
        }
        let chats = Chats::new(
            Window { messages: settings.chat_messages, span: settings.chat_span.get() },
            Window { messages: settings.group_messages, span: settings.group_span.get() },
        );
        let abilities = outgoing::abilities(&settings, bots.len(), courier);
        let (chats, told) = (Mutex::new(chats), Told::new(channel.clone()));
        Ok(Self { channel, settings, abilities, answers: Answers::embedded()?, bots, chats, told })
    }

    fn chats(&self) -> MutexGuard<'_, Chats> {
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn one(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let Some(chat) = Chat::read(&envelope.to.address) else {
            return Outcome::Rejected(Reason::BadAddress);
        };
        let parts = message::parts(&envelope.content, &self.channel, self.settings.subject);
        if parts.is_empty() || parts.len() > self.settings.max_parts {
            return Outcome::Rejected(Reason::Rejected);
        }
        // Of what may have been taken before, only an answer may tell that it was not.
        if !envelope.repeat && envelope.token.is_none() && self.told.is_given_up(&envelope.suffix) {
            return Outcome::Rejected(Reason::Rejected);
        }
        // The progress of the message: how many parts are through.
        let through = usize::try_from(envelope.token.unwrap_or(0)).unwrap_or(usize::MAX);
        let Some(part) = parts.get(through) else { return Outcome::Accepted };
        match self.part(envelope, &chat, part, deadline).await {
            Outcome::Accepted if through + 1 < parts.len() => {
                Outcome::Part(u32::try_from(through + 1).unwrap_or(u32::MAX))
            }
            outcome => outcome,
        }
    }

    /// One part by the bot that reaches the chat: that of last time, or the first of those the chat's number names that is not
    /// told to look elsewhere. Only refused requests are followed by another one. A bot whose token is refused is passed over, and
    /// what the others say is not final then, for it may be the one that reaches the chat.
    async fn part(&self, envelope: &Envelope, chat: &Chat, part: &Part, deadline: Instant) -> Outcome {
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
                Outcome::Accepted if senders.len() > 1 && known != Some(number) => {
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
            // A wait on the way goes on with the bot after this one.
            self.chats().reached_by(chat, next);
            if !matches!(refused, Some(Outcome::Suppress(_))) {
                refused = Some(outcome);
            }
        }
        match waits {
            Some(wait) => Outcome::Throttled { scope: Scope::Recipient, wait },
            None => refused.unwrap_or(Outcome::Rejected(Reason::BadAddress)),
        }
    }

    /// The token of this bot is refused: it is not used for a while. False when none is left that may be.
    fn stop_one(&self, sender: &Sender, why: &str) -> bool {
        let now = Instant::now();
        sender.set_refused(Some(now + REFUSED_FOR));
        let left = self.bots.iter().any(|sender| sender.refused(now).is_none());
        if left {
            tracing::error!(
                bot = sender.bot.number(),
                why,
                "this bot is stopped, the others go on: give it a valid token"
            );
            posthaste_courier::alarm(&self.channel, "bot");
        }
        left
    }

    /// All bots, in an order of the chat's own that every courier of the channel agrees on.
    fn in_order(&self, chat: &Chat) -> Vec<&Sender> {
        let mut senders: Vec<&Sender> = self.bots.iter().collect();
        if senders.len() > 1 {
            let chat = chat.bytes();
            senders.sort_by_cached_key(|sender| {
                Sha256::new().chain_update(sender.bot.number().to_be_bytes()).chain_update(&chat).finalize()
            });
        }
        senders
    }

    /// One part by one bot, and whether another one may reach the chat.
    async fn by(
        &self,
        sender: &Sender,
        envelope: &Envelope,
        chat: &Chat,
        part: &Part,
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
                Ended::Answered(answer) => Answer::new(answer.status, answer.retry_after, &answer.body),
                Ended::NotConnected => {
                    self.chats().give_back(&to);
                    return (Outcome::NotSent { after: None, reason: Reason::NotConnected }, false);
                }
                Ended::Lost(reason) => return (Outcome::Unknown(reason), false),
            };
            if answer.is_taken() {
                self.told.taken(&envelope.suffix);
                return (Outcome::Accepted, false);
            }
            let verdict = self.answers.judge(&answer);
            self.tell(envelope, verdict, answer.code());
            if !matches!(verdict.meaning, Meaning::Wait | Meaning::Unknown) {
                self.chats().give_back(&to);
            }
            match verdict.meaning {
                Meaning::Migrate => {
                    let Some((number, next)) =
                        answer.migrated().and_then(|number| Some((number, Chat::number(number)?)))
                    else {
                        return (Outcome::Rejected(Reason::BadAddress), false);
                    };
                    self.chats().moved(chat, number);
                    to = next;
                }
                Meaning::Wait => {
                    return (self.throttled(sender, &to, sent, Instant::now(), verdict.wait), false);
                }
                Meaning::Stop => {
                    let bot = sender.bot.number();
                    return (
                        Outcome::Stop(format!("Telegram refuses the token of bot {bot} ({})", answer.code())),
                        false,
                    );
                }
                Meaning::Retry => return (Outcome::Retry { after: None, reason: verdict.reason }, false),
                Meaning::Reject => return (Outcome::Rejected(verdict.reason), verdict.elsewhere),
                Meaning::Suppress => return (Outcome::Suppress(verdict.reason), verdict.elsewhere),
                Meaning::Strike => {
                    let strike = Outcome::Strike { reason: verdict.reason, of: STRIKES };
                    return (strike, verdict.elsewhere);
                }
                Meaning::Unknown => return (Outcome::Unknown(verdict.reason), false),
            }
        }
        (Outcome::Rejected(Reason::BadAddress), false)
    }

    /// Waits for the turn of a message to this chat by this bot, if it comes soon; tells when it goes. `Err` says who waits.
    async fn turn(&self, sender: &Sender, to: &Chat) -> Turn {
        let now = Instant::now();
        // The chat's place is taken first: a wait of its own costs the bot nothing.
        if let Err(wait) = self.chats().admit(to, now) {
            return Err(Outcome::Throttled { scope: Scope::Recipient, wait });
        }
        // Not in the head of the match: the budget would stay locked in its arms.
        let admission = sender.budget().admit(now, now + AHEAD);
        let at = match admission {
            Admission::At(at) => at,
            Admission::Spent(wait) => {
                self.chats().give_back(to);
                return Err(Outcome::Throttled { scope: Scope::Recipient, wait });
            }
            Admission::Paused(wait) => {
                self.chats().give_back(to);
                return Err(self.paused(wait, now));
            }
        };
        tokio::time::sleep_until(at).await;
        // A pause, or a wait of the chat, may have begun meanwhile.
        let (mut chats, now) = (self.chats(), Instant::now());
        if let Some(wait) = sender.pause(now) {
            chats.give_back(to);
            return Err(self.paused(wait, now));
        }
        if let Some(wait) = chats.waits(to, now) {
            chats.give_back(to);
            return Err(Outcome::Throttled { scope: Scope::Recipient, wait });
        }
        Ok(now)
    }

    /// A bot pauses for so long from `now`: so does the channel, if no other bot is at work.
    fn paused(&self, wait: Duration, now: Instant) -> Outcome {
        let pauses: Option<Vec<Duration>> = self.bots.iter().map(|sender| sender.pause(now)).collect();
        match pauses.and_then(|all| all.into_iter().min()) {
            Some(shortest) => Outcome::Throttled { scope: Scope::Channel, wait: shortest },
            None => Outcome::Throttled { scope: Scope::Recipient, wait },
        }
    }

    /// An answer that came at `now` asked to wait: the chat does, if its own limit explains it and the bot was not refused
    /// elsewhere; else the bot.
    fn throttled(&self, sender: &Sender, to: &Chat, sent: Instant, now: Instant, told: Duration) -> Outcome {
        let wait = told + SPREAD.mul_f64(rand::random());
        let mut chats = self.chats();
        if chats.is_own(sender.bot.number(), to, now, told) && sender.pause(now).is_none() {
            chats.wait(sender.bot.number(), to, now + wait);
            return Outcome::Throttled { scope: Scope::Recipient, wait };
        }
        chats.give_back(to);
        drop(chats);
        sender.budget().throttled(sent, now, wait);
        tracing::warn!(bot = sender.bot.number(), seconds = wait.as_secs(), "Telegram asks the bot to pause");
        self.paused(wait, now)
    }

    /// A fault of ours is told once an order.
    fn tell(&self, envelope: &Envelope, verdict: Verdict, code: u16) {
        if verdict.alarm && self.told.is_new(&envelope.suffix) {
            tracing::error!(order = %envelope.suffix, code, "Telegram refuses the message for what it says");
        }
        if verdict.content && self.told.refused(&envelope.suffix) {
            tracing::error!(order = %envelope.suffix, "nobody can be sent what the order says: its other messages fail unsent");
        }
    }
}

#[async_trait]
impl Transport for Telegram {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
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
                    tracing::error!(bot = sender.bot.number(), why, "this bot can't be used");
                    refused.get_or_insert(why);
                }
            }
        }
        // One bot that can't be used does not stop the others.
        if well { Ok(()) } else { refused.map_or(Ok(()), Err) }
    }

    async fn serve(&self, desk: Arc<dyn Desk>, stop: CancellationToken) -> Result<(), String> {
        if !self.settings.updates {
            return Ok(());
        }
        let mut bots = JoinSet::new();
        for sender in &self.bots {
            let settings = &self.settings;
            let waits = Waits { again: settings.updates_again.get(), rest: settings.updates_rest.get() };
            let (desk, channel, alone) = (Arc::clone(&desk), self.channel.clone(), self.bots.len() == 1);
            let updates = Updates::new(sender.bot.clone(), desk, channel, waits, alone);
            bots.spawn(stop.clone().run_until_cancelled_owned(updates.run()));
        }
        while let Some(ended) = bots.join_next().await {
            ended.map_err(|_| "the task that asks for the updates of a bot ended by a panic".to_owned())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
