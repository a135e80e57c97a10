//! Webhooks.

use super::{AddressRule, ChannelDescriptor};
use crate::text_limit::TextLimit;

/// A POST to a URL of the recipient.
pub const WEBHOOK: ChannelDescriptor = ChannelDescriptor {
    name: "webhook",
    noun: "webhook",
    by_default: false,
    address: AddressRule::Url,
    text_limit: TextLimit::None,
    value_name: "URL",
    help: "A URL that the text is posted to",
    csv_titles: &["webhook", "webhook url", "web hook", "hook url", "вебхук", "веб хук"],
    sections: &["webhook"],
    fake_provider: "webhook",
    dev_port: None,
    example: "http://{provider}/anna",
    failing: "http://{provider}/refuse",
};
