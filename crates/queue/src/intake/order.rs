//! Request bodies of orders. Strict: unknown fields and repeated names are refused.

use std::fmt;
use std::marker::PhantomData;

use posthaste_model::{OnUnknown, Priority};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::address::Given;
use super::settings::MOST_RECIPIENTS;

/// Maximum names in one object of channels.
const MOST_NAMES: usize = 64;
/// Maximum addresses of a recipient on one channel.
pub(crate) const MOST_ADDRESSES: usize = 32;

/// What happens to an order if some of its recipients are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInvalid {
    /// The whole order is rejected, and the invalid places are listed.
    Reject,
    /// The order is accepted without them, and they are listed.
    Skip,
}

/// Which addresses of a recipient are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AddressMode {
    /// The first valid one of each channel.
    #[default]
    First,
    /// All of them.
    All,
}

/// The sender.
#[derive(Default, Clone, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Sender)]
pub(crate) struct SenderBody {
    /// The sender's id, `[A-Za-z0-9_-]{1,64}`. May be left out if the key or the order's id determines it.
    pub(crate) id: Option<String>,
    /// The name shown to recipients of e-mail: in From, unless the settings replaced `from_email`, and with
    /// `reply_to`. One of the key's `display_names`. Other channels show the name of the bot, community or number.
    pub(crate) name: Option<String>,
    /// The sender's role, which determines the daily limit.
    pub(crate) role: Option<String>,
    /// The mailbox that e-mail is sent from, if the e-mail courier's settings allow its domain; default: the
    /// installation's own. Must be one of the key's `mailboxes`.
    pub(crate) from_email: Option<String>,
    /// The mailbox that replies go to, if the e-mail courier's settings allow its domain; default: the
    /// installation's own. Must be one of the key's `mailboxes`.
    pub(crate) reply_to: Option<String>,
}

/// One message to a list of recipients.
#[derive(Default, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Order)]
pub(crate) struct OrderBody<'a> {
    /// Only in a batch: the order's id, from `POST /v1/order-ids`; created if left out.
    pub(crate) id: Option<String>,
    /// The sender.
    pub(crate) sender: Option<SenderBody>,
    /// The recipients; at most 10,000. In an NDJSON upload, one per line after this object.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<RecipientBody>>)]
    pub(crate) recipients: Option<RawRecipients<'a>>,
    /// The text, for every channel without a text of its own.
    pub(crate) text: Option<String>,
    /// The subject, for channels that have one.
    pub(crate) subject: Option<String>,
    /// The HTML version of the text, for channels that support it.
    pub(crate) html: Option<String>,
    /// What differs on single channels, by channel.
    #[schema(value_type = Option<std::collections::BTreeMap<String, OverrideBody>>)]
    pub(crate) overrides: Option<Named<OverrideBody>>,
    /// The channels to use; default: all for which recipients have addresses.
    pub(crate) channels: Option<Vec<String>>,
    /// When it is due (RFC 3339 with an offset); default: now. A past time means now.
    pub(crate) deliver_at: Option<String>,
    /// When it expires: deliveries not sent by then are dropped (RFC 3339 with an offset).
    pub(crate) expires_at: Option<String>,
    /// Urgent orders are sent first.
    #[schema(value_type = Option<PriorityWord>)]
    pub(crate) priority: Option<Priority>,
    /// What happens to deliveries whose outcome is unknown; default: as set for the channel.
    pub(crate) on_unknown: Option<OnUnknownWord>,
    /// Which addresses of a recipient are used; default: `first`.
    pub(crate) address_mode: Option<AddressMode>,
    /// What happens to the order if some recipients are invalid; default: the setting `orders.on_invalid`.
    pub(crate) on_invalid: Option<OnInvalid>,
    /// Where the order came from, in the client's words.
    pub(crate) source: Option<String>,
    /// The client's own data: an object of at most 8 KiB and 64 names.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<&'a RawValue>,
}

/// What differs on one channel.
#[derive(Default, Clone, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Override)]
pub(crate) struct OverrideBody {
    /// The text on this channel.
    pub(crate) text: Option<String>,
}

/// One recipient.
#[derive(Default, Clone, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipient)]
pub(crate) struct RecipientBody<'a> {
    /// The client's own id of the recipient, `[A-Za-z0-9_-]{1,64}`. If several recipients have the same id, the first
    /// one counts.
    pub(crate) id: Option<String>,
    /// The recipient's name.
    pub(crate) name: Option<String>,
    /// The recipient's addresses by channel: mailboxes, phone numbers, chat ids or `@names`, peer ids.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<serde_json::Value>>>)]
    pub(crate) contacts: Option<Named<Few<Given<'a>>>>,
}

/// As in [`Priority`].
#[derive(ToSchema)]
#[schema(as = Priority, rename_all = "snake_case")]
#[expect(dead_code, reason = "only describes")]
pub(crate) enum PriorityWord {
    /// Sent first, on every channel.
    Urgent,
    /// Everything else.
    Bulk,
}

/// As in [`OnUnknown`]; the channel's default applies if it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OnUnknown)]
pub(crate) enum OnUnknownWord {
    /// Retry once: a duplicate is possible.
    Retry,
    /// Leave it unknown: a loss is possible.
    Hold,
}

impl From<OnUnknownWord> for OnUnknown {
    fn from(word: OnUnknownWord) -> Self {
        match word {
            OnUnknownWord::Retry => Self::Retry,
            OnUnknownWord::Hold => Self::Hold,
        }
    }
}

/// Unparsed recipients, and how many more there are than one body may have.
#[derive(Default)]
pub(crate) struct RawRecipients<'a> {
    /// The first ones.
    pub(crate) first: Vec<&'a RawValue>,
    /// How many followed.
    pub(crate) more: usize,
}

/// An object with a value for each of a few names, in the given order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

/// A list that keeps one entry more than allowed, so that an overlong list is detected without using memory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Few<T>(pub(crate) Vec<T>);

impl<'de: 'a, 'a> Deserialize<'de> for RawRecipients<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RawRecipientsVisitor)
    }
}

struct RawRecipientsVisitor;

impl<'de> Visitor<'de> for RawRecipientsVisitor {
    type Value = RawRecipients<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of recipients")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawRecipients<'de>, A::Error> {
        let mut out = RawRecipients::default();
        while out.first.len() < MOST_RECIPIENTS {
            match list.next_element()? {
                Some(raw) => out.first.push(raw),
                None => return Ok(out),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            out.more += 1;
        }
        Ok(out)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of channels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut out: Vec<(String, T)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if out.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("duplicate field"));
            }
            if out.len() == MOST_NAMES {
                return Err(A::Error::custom("too many names"));
            }
            out.push((name, map.next_value()?));
        }
        Ok(Named(out))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
        let mut out = Vec::new();
        while out.len() <= MOST_ADDRESSES {
            match list.next_element()? {
                Some(one) => out.push(one),
                None => return Ok(Few(out)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Few(out))
    }
}
