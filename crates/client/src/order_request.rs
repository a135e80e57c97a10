//! An order as a request.

use std::collections::BTreeMap;

use posthaste_model::{Address, Channel, OnUnknown, Priority, SenderId, Text};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// One message to recipients. What is left out has the default of the queue. Times are RFC 3339 with an offset.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OrderRequest {
    /// Only in a batch: the order's id; created if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<OrderSender>,
    /// The recipients, at most 10,000; in an upload, they follow on lines of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<OrderRecipient>,
    /// The text, for every channel without a text of its own.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub text: Option<Text>,
    /// The subject, for channels that have one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub subject: Option<Text>,
    /// The HTML version of the text, for channels that support it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub html: Option<Text>,
    /// What differs on single channels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<Channel, ChannelOverride>,
    /// The channels to use; all for which recipients have addresses if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// When it is due; now if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<String>,
    /// When it expires: deliveries not sent by then are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Urgent orders are sent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What happens to deliveries whose outcome is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
    /// Which addresses of a recipient are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_mode: Option<AddressMode>,
    /// What happens to the order if some recipients are invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_invalid: Option<InvalidParts>,
    /// Where the order came from, in the client's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The client's own data: an object of at most 8 KiB and 64 names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// What differs on one channel.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ChannelOverride {
    /// The text on this channel.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub text: Option<Text>,
}

/// The sender of an order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OrderSender {
    /// The sender's id, unless the key determines it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SenderId>,
    /// The name shown to recipients of e-mail: one of the key's display names.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub name: Option<Text>,
    /// The sender's role, which determines the daily limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The mailbox that e-mail is sent from: one of the key's mailboxes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "address")]
    pub from_email: Option<Address>,
    /// The mailbox that replies go to: one of the key's mailboxes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "address")]
    pub reply_to: Option<Address>,
}

/// One recipient of an order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OrderRecipient {
    /// The client's own id of the recipient, `[A-Za-z0-9_-]{1,64}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The recipient's name.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub name: Option<Text>,
    /// The recipient's addresses by channel: mailboxes, phone numbers, chat ids or `@names`, peer ids.
    #[serde(serialize_with = "contacts")]
    pub contacts: BTreeMap<Channel, Vec<Address>>,
}

/// Which addresses of a recipient are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressMode {
    /// The first valid one of each channel.
    First,
    /// All of them.
    All,
}

/// What happens to an order with invalid recipients or addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidParts {
    /// The whole order is rejected, and they are listed.
    Reject,
    /// The order is accepted without them, and they are listed.
    Skip,
}

fn text<S: Serializer>(text: &Option<Text>, to: S) -> Result<S::Ok, S::Error> {
    text.as_ref().map(Text::expose).serialize(to)
}

fn address<S: Serializer>(address: &Option<Address>, to: S) -> Result<S::Ok, S::Error> {
    address.as_ref().map(Address::expose).serialize(to)
}

fn contacts<S: Serializer>(contacts: &BTreeMap<Channel, Vec<Address>>, to: S) -> Result<S::Ok, S::Error> {
    let exposed = |list: &Vec<Address>| list.iter().map(|one| one.expose().to_owned()).collect::<Vec<_>>();
    to.collect_map(contacts.iter().map(|(channel, list)| (channel, exposed(list))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn channel(name: &str) -> Channel {
        name.parse().expect("a channel")
    }

    fn order() -> OrderRequest {
        let recipient = OrderRecipient {
            id: Some("7".to_owned()),
            name: Some(Text::new("Canary Anna")),
            contacts: BTreeMap::from([(channel("email"), vec![Address::new("canary@example.org")])]),
        };
        OrderRequest {
            sender: Some(OrderSender {
                id: Some("office".parse().expect("an id")),
                from_email: Some(Address::new("canary-news@example.org")),
                reply_to: Some(Address::new("canary-office@example.org")),
                ..OrderSender::default()
            }),
            recipients: vec![recipient],
            text: Some(Text::new("canary text")),
            overrides: BTreeMap::from([(
                channel("sms"),
                ChannelOverride { text: Some(Text::new("short canary")) },
            )]),
            channels: vec![channel("email")],
            priority: Some(Priority::Urgent),
            address_mode: Some(AddressMode::All),
            on_invalid: Some(InvalidParts::Reject),
            ..OrderRequest::default()
        }
    }

    #[test]
    fn an_order_is_written_as_the_queue_reads_it() {
        let expected = json!({
            "sender": {
                "id": "office", "from_email": "canary-news@example.org", "reply_to": "canary-office@example.org",
            },
            "recipients": [{"id": "7", "name": "Canary Anna", "contacts": {"email": ["canary@example.org"]}}],
            "text": "canary text",
            "overrides": {"sms": {"text": "short canary"}},
            "channels": ["email"],
            "priority": "urgent",
            "address_mode": "all",
            "on_invalid": "reject",
        });
        assert_eq!(serde_json::to_value(order()).expect("JSON"), expected);
        assert_eq!(serde_json::to_value(OrderRequest::default()).expect("JSON"), json!({}));
    }

    #[test]
    fn an_order_prints_masked() {
        let shown = format!("{:?}", order());
        assert!(!shown.contains("anary"), "{shown}");
    }
}
