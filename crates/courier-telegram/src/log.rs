//! What the transport logs.

use std::time::Duration;

use posthaste_model::OrderId;

use crate::api::Bot;

/// The token of a bot is refused, and others are left.
pub(crate) fn bot_stopped(bot: &Bot, why: &str) {
    tracing::error!(
        event = "bot.stopped",
        bot = bot.number(),
        why,
        "bot stopped; the other bots keep sending"
    );
}

/// The check of a bot failed.
pub(crate) fn bot_unusable(bot: &Bot, why: &str) {
    tracing::error!(event = "bot.unusable", bot = bot.number(), why, "bot can't be used");
}

/// Telegram asked a bot to wait.
pub(crate) fn bot_paused(bot: &Bot, wait: Duration) {
    tracing::warn!(
        event = "bot.paused",
        bot = bot.number(),
        seconds = wait.as_secs(),
        "Telegram rate limit; bot pauses"
    );
}

/// A fault of the message or the program, once per order.
pub(crate) fn message_rejected(order: &OrderId, code: u16) {
    tracing::error!(
        event = "message.rejected",
        provider = "telegram",
        %order,
        code,
        "Telegram refuses the message as invalid; check its content"
    );
}

/// The other messages of an order are not sent.
pub(crate) fn content_refused(order: &OrderId) {
    tracing::error!(
        event = "order.content_refused",
        provider = "telegram",
        %order,
        "Telegram keeps refusing the order's content; its other messages fail without being sent"
    );
}
