//! What has to wait when Telegram asks to: the chat, the bot, or the whole channel.

use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope};
use tokio::time::Instant;

use super::{SPREAD, TelegramTransport};
use crate::chat::Chat;
use crate::log;
use crate::sender::BotSender;

impl TelegramTransport {
    /// A bot pauses for `wait` from `now`. If no other bot is active, the whole channel pauses.
    pub(super) fn paused(&self, wait: Duration, now: Instant) -> Outcome {
        let pauses: Option<Vec<Duration>> = self.bots.iter().map(|sender| sender.pause(now)).collect();
        match pauses.and_then(|all| all.into_iter().min()) {
            Some(shortest) => Outcome::Throttled { scope: ThrottleScope::Channel, wait: shortest },
            None => Outcome::Throttled { scope: ThrottleScope::Recipient, wait },
        }
    }

    /// An answer received at `now` asked to wait. The chat waits if its own limit explains it and the bot was not refused
    /// elsewhere; otherwise the bot pauses.
    pub(super) fn throttled(
        &self,
        sender: &BotSender,
        to: &Chat,
        sent: Instant,
        now: Instant,
        retry_after: Duration,
    ) -> Outcome {
        let wait = retry_after + SPREAD.mul_f64(rand::random());
        let mut chats = self.chats();
        if chats.is_own(sender.bot.number(), to, now, retry_after) && sender.pause(now).is_none() {
            chats.wait(sender.bot.number(), to, now + wait);
            return Outcome::Throttled { scope: ThrottleScope::Recipient, wait };
        }
        chats.give_back(to);
        drop(chats);
        sender.budget().throttled(sent, now, wait);
        log::bot_paused(&sender.bot, wait);
        self.paused(wait, now)
    }
}
