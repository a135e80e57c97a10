//! Telegram.

use super::{AddressRule, ChannelDescriptor};
use crate::text_limit::{TELEGRAM_PARTS, TextLimit};

/// Telegram, by bots.
pub const TELEGRAM: ChannelDescriptor = ChannelDescriptor {
    name: "telegram",
    noun: "Telegram",
    by_default: true,
    address: AddressRule::Chat,
    text_limit: TextLimit::Parts(TELEGRAM_PARTS),
    value_name: "CHAT",
    help: "A Telegram chat id or @name",
    csv_titles: &[
        "telegram",
        "telegram id",
        "telegram chat id",
        "telegram username",
        "tg",
        "tg id",
        "chat id",
        "телеграм",
        "телеграмм",
        "тг",
    ],
    sections: &["telegram"],
    fake_provider: "telegram",
    dev_port: None,
    example: "1001",
    failing: "403001",
};
