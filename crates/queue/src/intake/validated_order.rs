//! An order that was checked completely, without its recipients.

use std::collections::BTreeMap;

use posthaste_model::{Channel, Content, OnUnknown, OrderId, Priority, SenderId, Text, UnixMs};
use posthaste_store::{KeyId, NewOrderHead};

use super::address::mailbox;
use super::order::{AddressMode, OnInvalid, OrderBody, SenderBody};
use super::settings::{Rules, is_role};
use super::validation_error::{ValidationCode, ValidationError, ValidationErrors, refused};
use super::{send_as, text, times};
use crate::auth::{Caller, KeyScope};
use crate::middleware::strict;
use crate::problem::{Code, Problem};

/// Maximum bytes of metadata.
const MOST_METADATA: usize = 8 * 1024;
/// Maximum names in metadata.
const MOST_METADATA_NAMES: usize = 64;

/// A checked order without its recipients and its times, which depend on the id it will have.
#[derive(Debug, Clone)]
pub(crate) struct ValidatedOrder {
    /// The sender.
    pub(crate) sender: SenderId,
    /// The API key that created it.
    pub(crate) key: KeyId,
    /// Orders per day; `None`: no limit.
    pub(crate) daily: Option<u32>,
    /// The content.
    pub(crate) content: Content,
    /// The channels it names; `None`: all for which recipients have addresses.
    pub(crate) channels: Option<Vec<Channel>>,
    pub(crate) priority: Priority,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) address_mode: AddressMode,
    pub(crate) on_invalid: OnInvalid,
    deliver_at: Option<String>,
    expires_at: Option<String>,
}

/// When an order is due and when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// `None`: now.
    pub(crate) due: Option<UnixMs>,
    /// `None`: the default span.
    pub(crate) expires: Option<UnixMs>,
    /// Whether quiet hours moved it.
    pub(crate) moved: bool,
}

/// The sender, from the key, the order's id and the body together.
pub(crate) fn sender(
    caller: &Caller,
    body: Option<&SenderBody>,
    id: Option<&OrderId>,
) -> Result<(SenderId, Option<String>), Problem> {
    caller.needs(KeyScope::Write)?;
    let named = body.and_then(|sender| sender.id.as_deref());
    let of_id = id.map(OrderId::sender);
    let bound = caller.sender.as_ref().map(SenderId::as_str);
    let free = caller.has(KeyScope::AnySender);
    let chosen = of_id.or(named).or(bound);
    let Some(chosen) = chosen else {
        return Err(refused(vec![ValidationError::new(
            "/sender/id",
            ValidationCode::Required,
            "name the sender",
        )]));
    };
    let chosen: SenderId = chosen.parse().map_err(|_| {
        refused(vec![ValidationError::new(
            "/sender/id",
            ValidationCode::InvalidId,
            "must be 1 to 64 of A-Z a-z 0-9 _ -",
        )])
    })?;
    if !free && bound != Some(chosen.as_str()) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender"));
    }
    if named.is_some_and(|named| named != chosen.as_str()) {
        let detail = "must be the sender in the order's id";
        return Err(refused(vec![ValidationError::new(
            "/sender/id",
            ValidationCode::SenderMismatch,
            detail,
        )]));
    }
    let named_role = body.and_then(|sender| sender.role.clone());
    if !free && named_role.is_some() && named_role != caller.role {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another role"));
    }
    Ok((chosen, named_role.or_else(|| caller.role.clone())))
}

/// Orders per day for a role; `None`: no limit.
pub(crate) fn daily(role: Option<&str>, rules: &Rules) -> Result<Option<u32>, Problem> {
    let Some(role) = role else { return Ok(None) };
    match rules.roles.get(role) {
        Some(0) => Ok(None),
        Some(daily) => Ok(Some(*daily)),
        None => Err(Problem::new(Code::RoleNotAllowed, "the role is not listed in daily_limits.roles")),
    }
}

impl ValidatedOrder {
    /// Checks the whole order except its recipients and times. `id`: the id it was given.
    pub(crate) fn new(
        body: OrderBody<'_>,
        caller: &Caller,
        id: Option<&OrderId>,
        rules: &Rules,
    ) -> Result<Self, Problem> {
        let (sender, role) = sender(caller, body.sender.as_ref(), id)?;
        let mut field_errors = ValidationErrors::default();
        if role.as_deref().is_some_and(|role| !is_role(role)) {
            field_errors.add(ValidationError::new(
                "/sender/role",
                ValidationCode::InvalidId,
                "must be 1 to 64 characters of A-Z a-z 0-9 _ -",
            ));
            return Err(refused(field_errors.into_vec()));
        }
        let daily = daily(role.as_deref(), rules)?;
        let channels = body.channels.as_deref().map(|names| named_channels(names, rules, &mut field_errors));
        let content = content(&body, role, rules, &mut field_errors);
        if !field_errors.is_empty() {
            return Err(refused(field_errors.into_vec()));
        }
        send_as::check(caller, &content)?;
        Ok(Self {
            sender,
            key: caller.key_id.clone(),
            daily,
            content,
            channels,
            priority: body.priority.unwrap_or(Priority::Bulk),
            on_unknown: body.on_unknown.map(OnUnknown::from).unwrap_or_default(),
            address_mode: body.address_mode.unwrap_or_default(),
            on_invalid: body.on_invalid.unwrap_or(rules.on_invalid),
            deliver_at: body.deliver_at,
            expires_at: body.expires_at,
        })
    }

    /// When it would be due and expire, if it were accepted now.
    pub(crate) fn times(
        &self,
        order_id: &OrderId,
        now: UnixMs,
        rules: &Rules,
    ) -> Result<Times, Vec<ValidationError>> {
        let requested = match &self.deliver_at {
            Some(text) => times::due(text, now, rules.max_ahead).map_err(|field_error| vec![field_error])?,
            None => None,
        };
        let base = requested.unwrap_or(now);
        let moved = rules.quiet.as_ref().and_then(|quiet| quiet.moved(base, self.priority, order_id));
        let due = moved.or(requested);
        let expires = match &self.expires_at {
            Some(text) => {
                let end = times::expires(text, due.unwrap_or(now), rules.max_lifetime);
                Some(end.map_err(|field_error| vec![field_error])?)
            }
            None => None,
        };
        Ok(Times { due, expires, moved: moved.is_some() })
    }

    /// The head of the order under this id.
    pub(crate) fn head(&self, order_id: &OrderId, times: Times, rules: &Rules) -> NewOrderHead {
        NewOrderHead {
            order_id: order_id.clone(),
            due: times.due,
            priority: self.priority,
            on_unknown: self.on_unknown,
            not_after: times.expires,
            span: rules.lifetime,
            content: self.content.clone(),
        }
    }
}

fn named_channels(names: &[String], rules: &Rules, field_errors: &mut ValidationErrors) -> Vec<Channel> {
    let mut out: Vec<Channel> = Vec::new();
    if names.is_empty() {
        field_errors.add(ValidationError::new(
            "/channels",
            ValidationCode::Required,
            "name at least one, or leave it out",
        ));
    }
    for (at, name) in names.iter().enumerate() {
        match known_channel(name, rules) {
            Some(channel) if !out.contains(channel) => out.push(channel.clone()),
            Some(_) => {}
            None => field_errors.add(ValidationError::new(
                format!("/channels/{at}"),
                ValidationCode::UnknownChannel,
                one_of(rules),
            )),
        }
    }
    out
}

/// The channel with this name.
pub(crate) fn known_channel<'r>(name: &str, rules: &'r Rules) -> Option<&'r Channel> {
    rules.channels.iter().find(|channel| channel.as_str() == name)
}

/// The allowed channels, in words.
pub(crate) fn one_of(rules: &Rules) -> String {
    let names: Vec<_> = rules.channels.iter().map(Channel::as_str).collect();
    format!("must be one of {}", names.join(", "))
}

fn content(
    body: &OrderBody<'_>,
    role: Option<String>,
    rules: &Rules,
    field_errors: &mut ValidationErrors,
) -> Content {
    let mut checked =
        |given: &Option<String>, pointer: &str, check: &dyn Fn(&str, &str) -> Result<(), ValidationError>| {
            let given = given.as_deref().unwrap_or_default();
            if !given.is_empty() {
                field_errors.keep(check(given, pointer));
            }
            Text::new(given)
        };
    let sender = body.sender.clone().unwrap_or_default();
    let mut out = Content {
        subject: checked(&body.subject, "/subject", &text::subject),
        html: checked(&body.html, "/html", &|html, at| text::message(html, rules.max_html_characters, at)),
        sender_name: checked(&sender.name, "/sender/name", &text::name),
        origin: checked(&body.source, "/source", &text::source).expose().to_owned(),
        role: role.unwrap_or_default(),
        ..Content::default()
    };
    match &body.text {
        Some(given) => {
            field_errors.keep(text::message(given, rules.max_text_characters, "/text"));
            out.text = Text::new(given);
        }
        None if body.overrides.is_none() => {
            field_errors.add(ValidationError::new("/text", ValidationCode::Required, "the order has no text"))
        }
        None => {}
    }
    for (given, pointer, kept) in [
        (&sender.from_email, "/sender/from_email", &mut out.from_email),
        (&sender.reply_to, "/sender/reply_to", &mut out.reply_to),
    ] {
        if let Some(given) = given {
            let read = mailbox(given).map_err(|(code, detail)| ValidationError::new(pointer, code, detail));
            *kept = Text::new(field_errors.keep(read).unwrap_or_default());
        }
    }
    out.texts = texts(body, rules, field_errors);
    if let Some(raw) = body.metadata {
        out.metadata = Text::new(field_errors.keep(metadata(raw.get())).unwrap_or_default());
    }
    out
}

fn texts(
    body: &OrderBody<'_>,
    rules: &Rules,
    field_errors: &mut ValidationErrors,
) -> BTreeMap<Channel, Text> {
    let mut out = BTreeMap::new();
    for (name, changed) in body.overrides.iter().flat_map(|overrides| &overrides.0) {
        let Some(channel) = known_channel(name, rules) else {
            field_errors.add(ValidationError::new(
                "/overrides",
                ValidationCode::UnknownChannel,
                one_of(rules),
            ));
            continue;
        };
        if let Some(given) = &changed.text {
            field_errors.keep(text::message(
                given,
                rules.max_text_characters,
                &format!("/overrides/{channel}/text"),
            ));
            out.insert(channel.clone(), Text::new(given));
        }
    }
    out
}

/// The client's own data, in a canonical form.
fn metadata(raw: &str) -> Result<String, ValidationError> {
    let field_error = |code, detail: &'static str| ValidationError::new("/metadata", code, detail);
    if raw.len() > MOST_METADATA {
        return Err(field_error(ValidationCode::TooLong, "must be at most 8 KiB"));
    }
    let object: serde_json::Map<String, serde_json::Value> =
        strict::object(raw.as_bytes()).map_err(|problem| match problem.code() {
            Code::MalformedJson => {
                field_error(ValidationCode::WrongType, "must be an object without repeated names")
            }
            _ => field_error(ValidationCode::InvalidText, "must not contain U+0000 or numbers out of range"),
        })?;
    if object.len() > MOST_METADATA_NAMES {
        return Err(field_error(ValidationCode::TooMany, "must have at most 64 names"));
    }
    serde_json::to_string(&object).map_err(|_| field_error(ValidationCode::WrongType, "must be an object"))
}
