//! How the settings shape the channel: its capabilities, and the parameters of a request.

use posthaste_courier::Capabilities;
use posthaste_courier::process::Section;
use teloxide::payloads::{SendMessage, SendMessageSetters};
use teloxide::types::LinkPreviewOptions;

use crate::chat::Chat;
use crate::settings::TelegramSettings as Bots;
use crate::split::TextPart;

/// The request for one part to one chat.
pub(crate) fn request(settings: &Bots, to: &Chat, part: &TextPart) -> SendMessage {
    let mut message = SendMessage::new(to.recipient(), part.text.clone());
    if !part.entities.is_empty() {
        message = message.entities(part.entities.clone());
    }
    if !settings.link_previews {
        message = message.link_preview_options(LinkPreviewOptions {
            is_disabled: true,
            url: None,
            prefer_small_media: false,
            prefer_large_media: false,
            show_above_text: false,
        });
    }
    if settings.silent {
        message = message.disable_notification(true);
    }
    if settings.protect_content {
        message = message.protect_content(true);
    }
    if settings.paid { message.allow_paid_broadcast(true) } else { message }
}

/// The channel's capabilities with this number of bots.
pub(crate) fn capabilities(settings: &Bots, bots: usize, courier: &Section) -> Capabilities {
    let all = settings.messages_per_second * f64::from(u32::try_from(bots).unwrap_or(u32::MAX));
    let capabilities = courier.capabilities(Capabilities {
        concurrency: (10 * bots).min(200),
        // Enough for answers that take two seconds. Telegram refuses more than 1000 concurrent requests of a bot.
        max_concurrency: calls(all * 2.0),
        send_window: settings.send_within.get(),
        on_unknown: settings.on_unknown.into(),
        ..Capabilities::default()
    });
    Capabilities {
        rate: capabilities.rate.or(Some(all)),
        concurrency: capabilities.concurrency.min(capabilities.max_concurrency),
        ..capabilities
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 16 and 900")]
fn calls(wanted: f64) -> usize {
    wanted.clamp(16.0, 900.0) as usize
}
