//! The record as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posthaste_model::UnixMs;
use serde::Serialize;

use super::Outbox;
use super::message::{self, MessageContent};
use super::problem::Problem;
use super::query::Wanted;
use crate::record::{Attempt, AttemptOutcome, LaterStatus, Protocol, RecordCounts, SmtpFacts};

/// Attempts on a page by default.
const USUAL: usize = 50;
/// Recipients of an attempt shown in a list.
const MOST_LISTED: usize = 100;

/// An attempt in a list.
#[derive(Debug, Serialize)]
struct Item {
    id: u64,
    channel: String,
    /// RFC 3339.
    at: String,
    took_ms: u64,
    connection: u64,
    peer: String,
    sender: String,
    /// In a list the first hundred.
    recipients: Vec<ItemRecipient>,
    recipients_total: usize,
    /// How many of them the provider accepted.
    recipients_taken: usize,
    order: Option<String>,
    #[serde(flatten)]
    outcome: AttemptOutcome,
    size: u64,
    subject: Option<String>,
    /// `smtp`, `telegram`, `vk`, `twilio` or `gateway`.
    provider: &'static str,
    /// The last status that came after the answer.
    status: Option<String>,
    /// The beginning of the text; for e-mail the subject.
    snippet: Option<String>,
}

#[derive(Debug, Serialize)]
struct ItemRecipient {
    address: String,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

/// A single attempt.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    item: Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp: Option<SmtpFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    dialogue: String,
    #[serde(flatten)]
    taken: MessageContent,
    raw_base64: String,
}

/// What is specific to HTTP providers.
#[derive(Debug, Serialize)]
struct Http {
    method: String,
    account: String,
    /// Statuses that came later, oldest first.
    statuses: Vec<LaterStatus>,
}

#[derive(Debug, Serialize)]
pub(super) struct Page {
    items: Vec<Item>,
    /// As text, like the cursors of all lists.
    next_cursor: Option<String>,
}

/// `GET /outbox`: newest first.
pub(super) async fn list(State(outbox): State<Outbox>, wanted: Wanted) -> Json<Page> {
    let (found, next) = page(&outbox, &wanted, USUAL);
    let next_cursor = next.map(|id| id.to_string());
    Json(Page { items: found.iter().map(|attempt| item(attempt, MOST_LISTED)).collect(), next_cursor })
}

/// A page of attempts, and the cursor of the next one if there is one.
pub(super) fn page(outbox: &Outbox, wanted: &Wanted, usual: usize) -> (Vec<Arc<Attempt>>, Option<u64>) {
    let (before, limit) = wanted.page(usual);
    // One more shows whether there is a next page.
    let mut found = outbox.record.newest_first(before, limit + 1, |attempt| wanted.fits(attempt));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|attempt| attempt.id);
    (found, next)
}

#[derive(Debug, Serialize)]
pub(super) struct Count {
    /// Kept attempts that match the filter.
    count: usize,
    #[serde(flatten)]
    counts: RecordCounts,
}

/// `GET /outbox/count`: how many kept attempts match, and how many were seen in all.
pub(super) async fn count(State(outbox): State<Outbox>, wanted: Wanted) -> Json<Count> {
    let count = outbox.record.count(|attempt| wanted.fits(attempt));
    Json(Count { count, counts: outbox.record.counts() })
}

#[derive(Debug, Serialize)]
pub(super) struct Deleted {
    deleted: u64,
}

/// `DELETE /outbox`.
pub(super) async fn clear(State(outbox): State<Outbox>) -> Json<Deleted> {
    Json(Deleted { deleted: outbox.record.clear() })
}

/// `GET /outbox/{id}`.
pub(super) async fn show(State(outbox): State<Outbox>, Path(id): Path<String>) -> Result<Response, Problem> {
    let attempt = find(&outbox, &id)?;
    let (smtp, http) = match &attempt.protocol {
        Protocol::Smtp(facts) => (Some(facts.clone()), None),
        Protocol::Http(facts) => {
            let (method, account) = (facts.method.clone(), facts.account.clone());
            (None, Some(Http { method, account, statuses: facts.statuses.clone() }))
        }
    };
    let whole = Whole {
        item: item(&attempt, usize::MAX),
        smtp,
        http,
        dialogue: attempt.dialogue.expose().to_owned(),
        taken: message::taken(&attempt),
        raw_base64: STANDARD.encode(&attempt.raw),
    };
    Ok(Json(whole).into_response())
}

/// `GET /outbox/{id}/raw`: the message as a mail program would get it; for HTTP the body of the request.
pub(super) async fn raw(State(outbox): State<Outbox>, Path(id): Path<String>) -> Result<Response, Problem> {
    let attempt = find(&outbox, &id)?;
    // A body comes from outside: no browser may take it for a page.
    let (kind, ending) = match attempt.protocol {
        Protocol::Smtp(_) => ("message/rfc822", "eml"),
        Protocol::Http(_) => ("text/plain; charset=utf-8", "txt"),
    };
    let name = format!("attachment; filename=\"{}.{ending}\"", attempt.id);
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, attempt.message().into_owned()).into_response())
}

/// `GET /certificate`: what a client of the SMTP server must trust, PEM.
pub(super) async fn certificate(State(outbox): State<Outbox>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], outbox.authority.to_string()).into_response()
}

/// `GET /livez`.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The attempt with the id in a path.
pub(super) fn find(outbox: &Outbox, id: &str) -> Result<Arc<Attempt>, Problem> {
    let attempt = id.parse().ok().and_then(|id| outbox.record.get(id));
    attempt.ok_or_else(|| Problem::not_found("no attempt with this id is kept"))
}

fn item(attempt: &Attempt, most: usize) -> Item {
    let recipients = attempt.recipients.iter().take(most);
    let (provider, status) = match &attempt.protocol {
        Protocol::Smtp(_) => ("smtp", None),
        Protocol::Http(facts) => (facts.provider, facts.statuses.last().map(|later| later.status.clone())),
    };
    Item {
        id: attempt.id,
        channel: attempt.channel.to_string(),
        at: moment(attempt.at),
        took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        connection: attempt.connection,
        peer: attempt.peer.to_string(),
        sender: attempt.sender.expose().to_owned(),
        recipients: recipients
            .map(|to| ItemRecipient {
                address: to.address.expose().to_owned(),
                code: to.code,
                message_id: to.id.as_deref().map(str::to_owned),
            })
            .collect(),
        recipients_total: attempt.recipients.len(),
        recipients_taken: attempt.recipients.iter().filter(|to| to.is_taken()).count(),
        order: attempt.order.clone(),
        outcome: attempt.outcome,
        size: attempt.size,
        subject: message::subject(attempt),
        provider,
        status,
        snippet: message::snippet(attempt),
    }
}

/// RFC 3339, UTC.
pub(super) fn moment(at: UnixMs) -> String {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}
