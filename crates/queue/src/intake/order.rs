//! Bodies of orders, as clients write them. Strict: no unknown field, no name twice.

use std::fmt;
use std::marker::PhantomData;

use posthaste_model::{Lane, OnUnknown};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::address::Given;
use super::settings::MOST_RECIPIENTS;

/// Names in one object of channels at most.
const MOST_NAMES: usize = 64;
/// Addresses of a recipient on one channel at most.
pub(crate) const MOST_ADDRESSES: usize = 32;

/// What becomes of an order when some of its recipients are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    /// It is refused whole, and the bad places are named.
    Refuse,
    /// It is accepted without them, and they are named.
    Skip,
}

/// Which addresses of a recipient are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Addresses {
    /// The first good one of each channel.
    #[default]
    First,
    /// All of them.
    All,
}

/// Who sends.
#[derive(Default, Clone, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Sender)]
pub(crate) struct SenderBody {
    /// The sender's id, `[A-Za-z0-9_-]{1,64}`. May be left out when the key, or the order's id, names it.
    pub(crate) id: Option<String>,
    /// The name shown to recipients: one of the key's `display_names`.
    pub(crate) name: Option<String>,
    /// The role, which limits orders a day.
    pub(crate) role: Option<String>,
    /// The mailbox it is from, where the e-mail courier's settings let it stand in From, else the one for answers: one of the
    /// key's `mailboxes`.
    pub(crate) email: Option<String>,
}

/// One message to a list of recipients.
#[derive(Default, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Order)]
pub(crate) struct OrderBody<'a> {
    /// Only in a batch: the id of the order, as of `POST /order-ids`; one is made when there is none.
    pub(crate) order_id: Option<String>,
    /// Who sends.
    pub(crate) sender: Option<SenderBody>,
    /// To whom; 10,000 at most. In an NDJSON upload one a line, after this object.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<RecipientBody>>)]
    pub(crate) recipients: Option<RawRecipients<'a>>,
    /// The text, for every channel that has none of its own.
    pub(crate) text: Option<String>,
    /// The subject, for channels that have one.
    pub(crate) subject: Option<String>,
    /// The HTML form of the text, for channels that take it.
    pub(crate) html: Option<String>,
    /// Texts of single channels.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub(crate) texts: Option<Named<String>>,
    /// The channels to use; all for which there are addresses when left out.
    pub(crate) channels: Option<Vec<String>>,
    /// When it is due (RFC 3339 with an offset); now when left out or past.
    pub(crate) deliver_at: Option<String>,
    /// When it ends, whatever is left of it (RFC 3339 with an offset).
    pub(crate) not_after: Option<String>,
    /// Urgent orders go first.
    #[schema(value_type = Option<LaneWord>)]
    pub(crate) lane: Option<Lane>,
    /// What becomes of a send whose outcome is unknown.
    #[schema(value_type = Option<OnUnknownWord>)]
    pub(crate) on_unknown: Option<OnUnknown>,
    /// Which addresses of a recipient are used.
    pub(crate) addresses: Option<Addresses>,
    /// What becomes of the order when some recipients are bad.
    pub(crate) invalid: Option<Invalid>,
    /// Where the order came from, in the client's words.
    pub(crate) origin: Option<String>,
    /// The client's own data: an object of 8 KiB and 64 names at most.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<&'a RawValue>,
}

/// One recipient.
#[derive(Default, Clone, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipient)]
pub(crate) struct RecipientBody<'a> {
    /// The sender's own id of them, `[A-Za-z0-9_-]{1,64}`. Of several recipients with one id the first counts.
    pub(crate) id: Option<String>,
    /// Their name.
    pub(crate) name: Option<String>,
    /// Their addresses by channel: mailboxes, phone numbers, chat ids or `@names`, peer ids.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<serde_json::Value>>>)]
    pub(crate) contacts: Option<Named<Few<Given<'a>>>>,
}

/// As in [`Lane`].
#[derive(ToSchema)]
#[schema(as = Lane, rename_all = "snake_case")]
#[expect(dead_code, reason = "only describes")]
pub(crate) enum LaneWord {
    /// Goes first, everywhere.
    Urgent,
    /// Everything else.
    Bulk,
}

/// As in [`OnUnknown`].
#[derive(ToSchema)]
#[schema(as = OnUnknown, rename_all = "snake_case")]
#[expect(dead_code, reason = "only describes")]
pub(crate) enum OnUnknownWord {
    /// As the channel does by default.
    Default,
    /// Repeat once: a duplicate is possible.
    Retry,
    /// Leave it unknown: a loss is possible.
    Hold,
}

/// Recipients not read yet, and how many more there are than one body may name.
#[derive(Default)]
pub(crate) struct RawRecipients<'a> {
    /// The first ones.
    pub(crate) first: Vec<&'a RawValue>,
    /// How many came after them.
    pub(crate) more: usize,
}

/// An object with a value for each of a few names, in the order they were given.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

/// A list with room for one more than allowed, so that too many can be told and need no memory.
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
        f.write_str("an object by channel")
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
