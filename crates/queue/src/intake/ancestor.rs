//! The paths of the ancestor, as its clients call them: `GET /history_key`, `PUT /queue`, `GET /queue/limit`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use posthaste_model::{SenderId, Suffix};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept::{Known, accept};
use super::address::{Given, mailbox};
use super::answer::{AcceptedView, history_key};
use super::daily::{LimitView, limit_of};
use super::digest::Digest;
use super::draft::{self, Draft};
use super::flaw::{Flaw, FlawCode, Place, Unread, refused};
use super::order::{Few, Named, OrderBody, RawRecipients, RecipientBody, SenderBody};
use super::settings::Rules;
use super::sieve::{Rows, Sieve, Sorted};
use super::{json, text};
use crate::aside::SMALL_BODY;
use crate::auth::{Caller, Enqueuer, Scope};
use crate::edge::body::{expect, read};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::Parameters;
use crate::state::AppState;

/// Bytes of a body at most.
const MOST_JSON: usize = 16 * 1024 * 1024;
/// Characters of a text at most.
const MOST_TEXT: usize = 4_096;

/// The query of `GET /history_key`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyAsked {
    /// Whose order it will be.
    sender_id: Option<String>,
}

/// The query of `GET /queue/limit`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitAsked {
    /// Whose day.
    uid: Option<String>,
    /// The role whose limit counts; that of the key when left out.
    role: Option<String>,
}

/// A history that will be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryKeyView {
    /// For `PUT /queue` and `POST /track`.
    #[schema(example = "history:u17:1763618400000000000")]
    history_key: String,
}

/// A person as the ancestor wrote them; ids may be numbers.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePerson)]
pub(super) struct Person<'a> {
    /// Their id, a text or a number.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    id: Option<Given<'a>>,
    /// Their mailbox. Of a recipient it counts as a contact.
    email: Option<String>,
    /// Their name.
    name: Option<String>,
    /// Their role; that of the sender limits orders a day.
    role: Option<String>,
    /// Addresses by channel, as in `POST /v1/orders`.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<serde_json::Value>>>)]
    contacts: Option<Named<Few<Given<'a>>>>,
}

/// An order as the ancestor wrote it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueOrder)]
pub(super) struct QueueBody<'a> {
    /// As of `GET /history_key`.
    history_key: Option<String>,
    /// Who sends.
    #[serde(borrow)]
    sender: Option<Person<'a>>,
    /// To whom.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Person>>)]
    recipients: Option<RawRecipients<'a>>,
    /// The text, 4,096 characters at most.
    text: Option<String>,
    /// Where the order comes from.
    provider: Option<String>,
    /// When it is due (RFC 3339 with an offset); now when left out.
    deliver_at: Option<String>,
}

/// Make the key of a history (the ancestor's path)
#[utoipa::path(
    get, path = "/history_key", tag = "ancestor", operation_id = "historyKey", params(KeyAsked),
    responses(
        (status = 200, description = "The key.", body = HistoryKeyView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn key(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    Parameters(asked): Parameters<KeyAsked>,
) -> Result<Json<HistoryKeyView>, Problem> {
    let sender = SenderBody { id: asked.sender_id, ..SenderBody::default() };
    let (sender, _) = draft::sender(&caller, Some(&sender), None)?;
    let suffix = state.mint(&sender);
    Ok(Json(HistoryKeyView { history_key: history_key(&suffix) }))
}

/// The day's limit of a sender (the ancestor's path)
#[utoipa::path(
    get, path = "/queue/limit", tag = "ancestor", operation_id = "queueLimit", params(LimitAsked),
    responses(
        (status = 200, description = "What is left of the day.", body = LimitView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn limit(
    caller: Caller,
    State(state): State<AppState>,
    Parameters(asked): Parameters<LimitAsked>,
) -> Result<Json<LimitView>, Problem> {
    if !caller.has(Scope::Read) {
        caller.needs(Scope::Enqueue)?;
    }
    let bound = caller.sender.as_ref().map(SenderId::as_str);
    let uid = asked.uid.as_deref().or(bound);
    let sender: SenderId = uid
        .and_then(|uid| uid.parse().ok())
        .ok_or_else(|| Problem::parameter("uid", "invalid_id", "1 to 64 of A-Z a-z 0-9 _ -"))?;
    if !caller.acts_for(sender.as_str()) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another sender"));
    }
    let other = |role: &String| caller.role.as_ref().is_some_and(|bound| bound != role);
    if asked.role.as_ref().is_some_and(other) {
        return Err(Problem::new(Code::SenderNotAllowed, "the key is bound to another role"));
    }
    let role = asked.role.as_deref().or(caller.role.as_deref());
    limit_of(&state, &sender, role).await.map(Json)
}

/// Give an order (the ancestor's path)
///
/// 200 when it is due now, 202 with the time when it is due later. Needs the scope `enqueue`.
#[utoipa::path(
    put, path = "/queue", tag = "ancestor", operation_id = "queue", request_body = QueueBody<'_>,
    responses(
        (status = 200, description = "Stored, and due now.", body = AcceptedView),
        (status = 202, description = "Stored, and due at `due_at`.", body = AcceptedView),
        (status = "default", description = "A problem: 403 for an unknown role, 429 over the day's limit.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn queue(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, "application/json")?;
    let bytes = read(body, MOST_JSON).await?;
    let (rules, share) = (state.rules.clone(), caller.share.clone());
    let small = bytes.len() <= SMALL_BODY;
    let checked = state.aside.run(&share, small, move || check(&bytes, &caller, &rules)).await?;
    let (suffix, draft, sorted, rows) = checked;
    let known = Known { id: Some(suffix), key: None };
    Box::pin(accept(&state, draft, &known, sorted, rows)).await.map(IntoResponse::into_response)
}

/// Checks all of an order.
fn check(
    bytes: &[u8],
    caller: &Caller,
    rules: &Arc<Rules>,
) -> Result<(Suffix, Draft, Sorted, Rows), Problem> {
    let body: QueueBody<'_> = json::object(bytes)?;
    let suffix = history(&body)?;
    if let Some(provider) = &body.provider {
        text::origin(provider, "/provider").map_err(|flaw| refused(vec![flaw]))?;
    }
    if body.text.as_ref().is_some_and(|text| text.chars().count() > MOST_TEXT) {
        return Err(refused(vec![Flaw::new("/text", FlawCode::TooLong, "4096 characters at most")]));
    }
    let Some(RawRecipients { first, more }) = body.recipients else {
        return Err(refused(vec![Flaw::new("/recipients", FlawCode::Missing, "to whom")]));
    };
    let most = rules.max_recipients;
    if first.len() + more > most {
        let detail = format!("{most} recipients at most");
        return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", most));
    }
    let sender = body.sender.unwrap_or_default();
    if sender.role.is_none() && caller.role.is_none() {
        return Err(Problem::new(Code::UnknownRole, "the sender has no role"));
    }
    let order = OrderBody {
        sender: Some(SenderBody {
            id: sender.id.map(word),
            name: sender.name,
            role: sender.role,
            email: sender.email.filter(|email| !email.is_empty()),
        }),
        text: body.text,
        origin: body.provider,
        deliver_at: body.deliver_at,
        ..OrderBody::default()
    };
    let digest = Digest::of(&order);
    let draft = Draft::new(order, caller, Some(&suffix), rules)?;
    let mut sieve = Sieve::new(&draft, digest, rules, rand::random());
    let mut rows = Rows::new();
    for (at, raw) in first.iter().enumerate() {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let read = json::part::<Person<'_>>(raw.get().as_bytes()).and_then(recipient);
        sieve.take(index, Place::Recipient(at), raw.get(), read, &mut rows);
        if sieve.is_full() {
            break;
        }
    }
    let sorted = sieve.finish()?;
    Ok((suffix, draft, sorted, rows))
}

fn history(body: &QueueBody<'_>) -> Result<Suffix, Problem> {
    let key = body.history_key.as_deref().unwrap_or_default();
    key.strip_prefix("history:").and_then(|suffix| suffix.parse().ok()).ok_or_else(|| {
        let detail = "history:<sender id>:<nanoseconds>, as of GET /history_key";
        refused(vec![Flaw::new("/history_key", FlawCode::InvalidId, detail)])
    })
}

fn word(given: Given<'_>) -> String {
    match given {
        Given::Number(number) => number.to_string(),
        Given::Text(text) => text.into_owned(),
    }
}

/// A recipient with their mailbox among the contacts.
fn recipient(person: Person<'_>) -> Result<RecipientBody<'_>, Unread> {
    let mut contacts = person.contacts.map_or_else(Vec::new, |contacts| contacts.0);
    if let Some(email) = person.email.filter(|email| !email.is_empty()) {
        mailbox(&email).map_err(|(code, detail)| Unread::Misshapen(Flaw::new("/email", code, detail)))?;
        let email = Given::Text(Cow::Owned(email));
        match contacts.iter_mut().find(|(channel, _)| channel == "email") {
            Some((_, Few(all))) if all.contains(&email) => {}
            Some((_, Few(all))) => all.insert(0, email),
            None => contacts.insert(0, ("email".to_owned(), Few(vec![email]))),
        }
    }
    Ok(RecipientBody { id: person.id.map(word), name: person.name, contacts: Some(Named(contacts)) })
}
