//! Messages that are longer than their channel takes: known at acceptance, so that nobody learns it from failed
//! deliveries. The limits are those of the couriers ([`TextLimit`]).

use posthaste_model::{Channel, Content, TextLimit, channels};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Stored;
use super::settings::Rules;
use super::validation_error::{ValidationCode, ValidationError};

/// A channel that does not take the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooLong {
    pub(crate) channel: Channel,
    pointer: String,
    detail: String,
}

/// Deliveries that will fail although the order is accepted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Warning)]
pub(crate) struct WarningView {
    /// `text_too_long`: the message is longer than the channel takes.
    #[schema(example = "text_too_long")]
    code: &'static str,
    /// The channel.
    channel: String,
    /// JSON pointer to the field to change.
    pointer: String,
    /// Number of deliveries that will fail.
    delivery_count: u32,
    /// The same in words, with the limit.
    detail: String,
}

/// Those of these channels that don't take the message.
pub(crate) fn find<'c>(
    content: &Content,
    channels: impl Iterator<Item = &'c Channel>,
    rules: &Rules,
) -> Vec<TooLong> {
    let limits = channels.map(|channel| (channel, rules.text_limit(channel)));
    limits
        .filter(|(channel, limit)| !limit.allows(content, channel))
        .map(|(channel, limit)| describe(content, channel, limit))
        .collect()
}

fn describe(content: &Content, channel: &Channel, limit: TextLimit) -> TooLong {
    let noun = channels::find(channel.as_str()).map_or(channel.as_str(), |found| found.noun);
    let own = format!("/overrides/{channel}/text");
    let (text, html) = (content.text_for(channel).expose(), content.html.expose());
    let is_html = matches!(limit, TextLimit::EmailBytes(_)) && html.len() > text.len();
    let (pointer, remedy) = if is_html {
        ("/html".to_owned(), "shorten the HTML".to_owned())
    } else if content.texts.contains_key(channel) {
        (own, "shorten it".to_owned())
    } else {
        ("/text".to_owned(), format!("shorten it, or give {noun} a text of its own in {own}"))
    };
    TooLong { channel: channel.clone(), pointer, detail: format!("must be {limit} on {noun}; {remedy}") }
}

/// The warnings, with the deliveries of each channel.
pub(crate) fn warnings(found: &[TooLong], stored: &[Stored]) -> Vec<WarningView> {
    let counted = found.iter().filter_map(|one| {
        let of_channel = stored.iter().find(|stored| one.channel.as_str() == stored.channel)?;
        (of_channel.deliveries > 0).then(|| WarningView {
            code: "text_too_long",
            channel: one.channel.to_string(),
            pointer: one.pointer.clone(),
            delivery_count: of_channel.deliveries,
            detail: one.detail.clone(),
        })
    });
    counted.collect()
}

impl From<TooLong> for ValidationError {
    fn from(found: TooLong) -> Self {
        Self::new(found.pointer, ValidationCode::TooLong, found.detail)
    }
}
