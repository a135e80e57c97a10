//! The paths of the legacy API, as its clients call them: `GET /history_key`, `PUT /queue`, `GET /queue/limit`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use posthaste_model::{OrderId, SenderId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept::{Known, accept};
use super::address::{Given, mailbox};
use super::answer::AcceptedView;
use super::digest::Digest;
use super::order::{Few, Named, OrderBody, RawRecipients, RecipientBody, SenderBody};
use super::recipient_validator::{Deliveries, RecipientValidator, Sorted};
use super::settings::Rules;
use super::state::IntakeState;
use super::validated_order::{self, ValidatedOrder};
use super::validation_error::{Place, Unread, ValidationCode, ValidationError, refused};
use super::{json, text};
use crate::auth::{Caller, KeyScope, Writer};
use crate::middleware::body::{expect, read};
use crate::offload::SMALL_BODY;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem, ProblemDocument};

/// Maximum bytes of a body.
const MOST_JSON: usize = 16 * 1024 * 1024;
/// Maximum characters of a text.
const MOST_TEXT: usize = 4_096;

/// The query of `GET /history_key`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryKeyQuery {
    /// The sender of the future order.
    sender_id: Option<String>,
}

/// The query of `GET /queue/limit`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QueueLimitQuery {
    /// The sender.
    uid: Option<String>,
    /// The role whose limit applies; default: the role of the key.
    role: Option<String>,
}

/// The key of a future history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryKeyView {
    /// For use in `PUT /queue` and `POST /track`.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
}

/// An accepted order, with its history key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueuedOrder)]
pub(super) struct QueuedView {
    /// For use in `POST /track`.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
    /// The order, as in `POST /v1/orders`.
    #[serde(flatten)]
    order: AcceptedView,
}

/// The daily limit in the format of the legacy API.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueueLimit)]
pub(super) struct QueueLimitView {
    /// Orders sent today.
    value: u32,
    /// Seconds until the next day begins.
    ttl: u64,
    /// Orders per day; `null`: no limit.
    #[schema(required = true)]
    daily: Option<u32>,
}

/// A person in the format of the legacy API; ids may be numbers.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePerson)]
pub(super) struct Person<'a> {
    /// The person's id, a string or a number.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    id: Option<Given<'a>>,
    /// The person's mailbox: a contact of a recipient, and From and Reply-To of the sender, each if the e-mail
    /// courier's settings allow its domain.
    email: Option<String>,
    /// The person's name.
    name: Option<String>,
    /// The person's role; the sender's role determines the daily limit.
    role: Option<String>,
    /// Addresses by channel, as in `POST /v1/orders`.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<serde_json::Value>>>)]
    contacts: Option<Named<Few<Given<'a>>>>,
}

/// An order in the format of the legacy API.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueOrder)]
pub(super) struct QueueBody<'a> {
    /// A key from `GET /history_key`.
    history_key: Option<String>,
    /// The sender.
    #[serde(borrow)]
    sender: Option<Person<'a>>,
    /// The recipients.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Person>>)]
    recipients: Option<RawRecipients<'a>>,
    /// The text, at most 4,096 characters.
    text: Option<String>,
    /// Where the order comes from.
    provider: Option<String>,
    /// When it is due (RFC 3339 with an offset); default: now.
    deliver_at: Option<String>,
}

/// Create a history key (legacy API)
#[utoipa::path(
    get, path = "/history_key", tag = "legacy", operation_id = "historyKey", params(HistoryKeyQuery),
    responses(
        (status = 200, description = "The key.", body = HistoryKeyView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn key(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    Parameters(requested): Parameters<HistoryKeyQuery>,
) -> Result<Json<HistoryKeyView>, Problem> {
    let sender = SenderBody { id: requested.sender_id, ..SenderBody::default() };
    let (sender, _) = validated_order::sender(&caller, Some(&sender), None)?;
    let order_id = state.mint(&sender);
    Ok(Json(HistoryKeyView { history_key: history_key(&order_id) }))
}

/// Show the daily limit of a sender (legacy API)
#[utoipa::path(
    get, path = "/queue/limit", tag = "legacy", operation_id = "queueLimit", params(QueueLimitQuery),
    responses(
        (status = 200, description = "Orders sent today, and the limit.", body = QueueLimitView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn limit(
    caller: Caller,
    State(state): State<Arc<IntakeState>>,
    Parameters(requested): Parameters<QueueLimitQuery>,
) -> Result<Json<QueueLimitView>, Problem> {
    if !caller.has(KeyScope::Read) {
        caller.needs(KeyScope::Write)?;
    }
    let bound = caller.sender.as_ref().map(SenderId::as_str);
    let uid = requested.uid.as_deref().or(bound);
    let sender: SenderId = uid.and_then(|uid| uid.parse().ok()).ok_or_else(|| {
        Problem::parameter("uid", "invalid_id", "must be 1 to 64 characters of A-Z a-z 0-9 _ -")
    })?;
    if !caller.acts_for(sender.as_str()) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender"));
    }
    let other = |role: &String| caller.role.as_ref().is_some_and(|bound| bound != role);
    if requested.role.as_ref().is_some_and(other) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another role"));
    }
    let role = requested.role.as_deref().or(caller.role.as_deref());
    let today = state.daily_limits.of(&sender, role).await?;
    let ttl = today.ends.since(today.now).as_secs();
    Ok(Json(QueueLimitView { value: today.used, ttl, daily: today.limit }))
}

/// Create an order (legacy API)
///
/// 200 if it is due now, 202 with the due time if it is due later. Needs the scope `write`.
#[utoipa::path(
    put, path = "/queue", tag = "legacy", operation_id = "queue", request_body = QueueBody<'_>,
    responses(
        (status = 200, description = "The order is stored and due now.", body = QueuedView),
        (status = 202, description = "The order is stored and due at `deliver_at`.", body = QueuedView),
        (status = "default", description = "A problem: 403 for an unknown role, 429 above the daily limit.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn queue(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, "application/json")?;
    let bytes = read(body, MOST_JSON).await?;
    let (rules, share) = (state.rules.clone(), caller.share.clone());
    let small = bytes.len() <= SMALL_BODY;
    let checked = state.offload.run(&share, small, move || check(&bytes, &caller, &rules)).await?;
    let (order_id, draft, sorted, deliveries) = checked;
    let history_key = history_key(&order_id);
    let known = Known { id: Some(order_id), key: None };
    let order = Box::pin(accept(&state, draft, &known, sorted, deliveries)).await?;
    let (status, headers) = (order.http_status(), order.headers());
    Ok((status, headers, Json(QueuedView { history_key, order })).into_response())
}

/// Checks a whole order.
fn check(
    bytes: &[u8],
    caller: &Caller,
    rules: &Arc<Rules>,
) -> Result<(OrderId, ValidatedOrder, Sorted, Deliveries), Problem> {
    let body: QueueBody<'_> = json::object(bytes)?;
    let order_id = history(&body)?;
    if let Some(provider) = &body.provider {
        text::source(provider, "/provider").map_err(|field_error| refused(vec![field_error]))?;
    }
    if body.text.as_ref().is_some_and(|text| text.chars().count() > MOST_TEXT) {
        return Err(refused(vec![ValidationError::new(
            "/text",
            ValidationCode::TooLong,
            "must be at most 4096 characters",
        )]));
    }
    let Some(RawRecipients { first, more }) = body.recipients else {
        return Err(refused(vec![ValidationError::new(
            "/recipients",
            ValidationCode::Required,
            "name the recipients",
        )]));
    };
    let most = rules.max_recipients;
    if first.len() + more > most {
        let detail = format!("at most {most} recipients in one order");
        return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", most));
    }
    let sender = body.sender.unwrap_or_default();
    let sender_email = sender.email.filter(|email| !email.is_empty());
    if sender.role.is_none() && caller.role.is_none() {
        return Err(Problem::new(Code::RoleNotAllowed, "the sender has no role"));
    }
    let order = OrderBody {
        sender: Some(SenderBody {
            id: sender.id.map(word),
            name: sender.name,
            role: sender.role,
            from_email: sender_email.clone(),
            reply_to: sender_email,
        }),
        text: body.text,
        source: body.provider,
        deliver_at: body.deliver_at,
        ..OrderBody::default()
    };
    let digest = Digest::of(&order);
    let draft = ValidatedOrder::new(order, caller, Some(&order_id), rules)
        .map_err(|problem| problem.with_pointers(legacy_pointer))?;
    let mut validator = RecipientValidator::new(&draft, digest, rules, rand::random());
    let mut deliveries = Deliveries::new();
    for (at, raw) in first.iter().enumerate() {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let read = json::part::<Person<'_>>(raw.get().as_bytes()).and_then(recipient);
        validator.take(index, Place::Recipient(at), raw.get(), read, &mut deliveries);
        if validator.is_full() {
            break;
        }
    }
    let sorted = validator.finish(&draft.content)?;
    Ok((order_id, draft, sorted, deliveries))
}

/// The history key of an order.
fn history_key(order_id: &OrderId) -> String {
    format!("history:{order_id}")
}

fn history(body: &QueueBody<'_>) -> Result<OrderId, Problem> {
    let key = body.history_key.as_deref().unwrap_or_default();
    key.strip_prefix("history:").and_then(|order_id| order_id.parse().ok()).ok_or_else(|| {
        let detail = "must be history:<sender id>:<nanoseconds>, as returned by GET /history_key";
        refused(vec![ValidationError::new("/history_key", ValidationCode::InvalidId, detail)])
    })
}

/// The pointer in a legacy body. Both mailboxes of the sender are `email` there, so one of them is enough.
fn legacy_pointer(pointer: &str) -> Option<String> {
    match pointer {
        "/sender/from_email" => Some("/sender/email".to_owned()),
        "/sender/reply_to" => None,
        other => Some(other.to_owned()),
    }
}

fn word(given: Given<'_>) -> String {
    match given {
        Given::Number(number) => number.to_string(),
        Given::Text(text) => text.into_owned(),
    }
}

/// A recipient whose mailbox is added to the contacts.
fn recipient(person: Person<'_>) -> Result<RecipientBody<'_>, Unread> {
    let mut contacts = person.contacts.map_or_else(Vec::new, |contacts| contacts.0);
    if let Some(email) = person.email.filter(|email| !email.is_empty()) {
        mailbox(&email)
            .map_err(|(code, detail)| Unread::Misshapen(ValidationError::new("/email", code, detail)))?;
        let email = Given::Text(Cow::Owned(email));
        match contacts.iter_mut().find(|(channel, _)| channel == "email") {
            Some((_, Few(all))) if all.contains(&email) => {}
            Some((_, Few(all))) => all.insert(0, email),
            None => contacts.insert(0, ("email".to_owned(), Few(vec![email]))),
        }
    }
    Ok(RecipientBody { id: person.id.map(word), name: person.name, contacts: Some(Named(contacts)) })
}
