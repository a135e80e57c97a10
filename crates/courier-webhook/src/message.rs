//! What is posted: JSON with the id of the delivery, the text, and the subject if there is one.

use posthaste_courier::Envelope;
use posthaste_model::Channel;
use serde::Serialize;

/// The header with the id of the delivery. Every attempt has the same id, so a receiver can tell a repeat by it.
pub const ID_HEADER: &str = "webhook-id";

/// The body. Has no `Debug`, because it holds a text.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    /// The id of the delivery.
    pub(crate) id: String,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
}

impl<'a> Message<'a> {
    /// The message for this delivery.
    pub(crate) fn new(envelope: &'a Envelope, channel: &Channel) -> Self {
        let Envelope { order_id, parcel, delivery, content, .. } = envelope;
        Self {
            id: format!("{}.{parcel}.{delivery}", order_id.wire_id()),
            text: content.text_for(channel).expose(),
            subject: content.subject.expose(),
        }
    }
}
