//! A single order with what it says: `GET /v1/orders/{id}`.

use std::collections::BTreeMap;

use posthaste_model::{Content, Text};
use serde::Serialize;
use utoipa::ToSchema;

use crate::order_response::OrderView;

/// An order, and its content as it was accepted.
#[derive(Serialize, ToSchema)]
pub(super) struct OrderDetails {
    #[serde(flatten)]
    pub(super) order: OrderView,
    /// What it says.
    pub(super) content: ContentView,
}

/// The content of an order, as it was accepted.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = OrderContent)]
pub(super) struct ContentView {
    /// The text, for every channel without a text of its own.
    #[schema(required = true)]
    text: Option<String>,
    /// The subject.
    #[schema(required = true)]
    subject: Option<String>,
    /// The HTML version of the text.
    #[schema(required = true)]
    html: Option<String>,
    /// What differs on single channels, by channel.
    overrides: BTreeMap<String, ContentOverride>,
    /// The name shown as the sender.
    #[schema(required = true)]
    sender_name: Option<String>,
    /// The mailbox that e-mail is sent from; `null`: the installation's own.
    #[schema(required = true)]
    from_email: Option<String>,
    /// The mailbox that replies go to; `null`: the installation's own.
    #[schema(required = true)]
    reply_to: Option<String>,
}

/// What differs on one channel.
#[derive(Serialize, ToSchema)]
struct ContentOverride {
    /// The text on this channel.
    text: String,
}

impl From<&Content> for ContentView {
    fn from(content: &Content) -> Self {
        let given = |text: &Text| (!text.expose().is_empty()).then(|| text.expose().to_owned());
        let overrides = content.texts.iter();
        Self {
            text: given(&content.text),
            subject: given(&content.subject),
            html: given(&content.html),
            overrides: overrides
                .map(|(channel, text)| {
                    (channel.to_string(), ContentOverride { text: text.expose().to_owned() })
                })
                .collect(),
            sender_name: given(&content.sender_name),
            from_email: given(&content.from_email),
            reply_to: given(&content.reply_to),
        }
    }
}
