//! `POST /v1/orders/batch`: many orders, one per line, each accepted or refused independently.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use serde::Serialize;
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use utoipa::ToSchema;

use super::accept::{Known, accept};
use super::answer::AcceptedView;
use super::idempotency::IdempotencyKey;
use super::json;
use super::lines::Lines;
use super::order::OrderBody;
use super::orders::check;
use super::state::IntakeState;
use super::upload::MEDIA_TYPE;
use super::validation_error::{ValidationCode, ValidationError, refused};
use crate::auth::{Caller, Writer};
use crate::middleware::body::expect;
use crate::middleware::trace;
use crate::offload::SMALL_BODY;
use crate::parameters::OrderIdPath;
use crate::problem::{Code, Problem, ProblemDocument};

/// Maximum bytes of a batch.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Maximum bytes of one order.
const MOST_ORDER: usize = 4 * 1024 * 1024;
/// Maximum orders processed at the same time.
const AT_A_TIME: usize = 64;
/// Once the orders in progress have this many bytes, no further one is started.
const BYTES_AT_A_TIME: usize = 4 * 1024 * 1024;

/// The result for one order of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum BatchLine {
    /// It was accepted.
    Accepted(Box<BatchAccepted>),
    /// It was refused.
    Refused(BatchRefused),
}

/// An order of a batch that was accepted.
#[derive(Debug, Serialize, ToSchema)]
struct BatchAccepted {
    /// Its index among the orders of the batch, from 0.
    index: usize,
    /// 200 or 202, as for a single order.
    status: u16,
    /// The order.
    order: AcceptedView,
    /// Whether it had already been accepted.
    replayed: bool,
}

/// An order of a batch that was refused.
#[derive(Debug, Serialize, ToSchema)]
struct BatchRefused {
    /// Its index among the orders of the batch, from 0.
    index: usize,
    /// The status of the problem.
    status: u16,
    /// The problem.
    #[schema(value_type = ProblemDocument)]
    problem: Value,
}

/// Create many orders
///
/// One order per line (NDJSON), at most 10,000 lines and 64 MiB. Each order is accepted or refused independently; the
/// response has one line for each, in the same order. An order may include its own `id`. With
/// `Idempotency-Key`, a repeated batch finds the same orders again. Needs the scope `write`.
#[utoipa::path(
    post, path = "/v1/orders/batch", tag = "orders", operation_id = "createOrders",
    params(("Idempotency-Key" = Option<String>, Header, description = "A unique name for this batch.")),
    request_body(content = String, content_type = "application/x-ndjson", description = "One `Order` per line."),
    responses(
        (status = 200, description = "One line for each order.", body = BatchLine, content_type = "application/x-ndjson"),
        (status = "default", description = "A problem of the whole batch.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    request: Request,
) -> Result<Response, Problem> {
    expect(request.headers(), MEDIA_TYPE)?;
    let key = IdempotencyKey::of(request.headers())?;
    let reported = Box::pin(all(state, caller, key, request.into_body())).await?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, MEDIA_TYPE)], reported).into_response())
}

async fn all(
    state: Arc<IntakeState>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    body: Body,
) -> Result<Vec<u8>, Problem> {
    let mut lines = Lines::new(Body::new(Limited::new(body, MOST_BYTES)), MOST_ORDER);
    let mut reported: Vec<Vec<u8>> = Vec::new();
    let mut work: JoinSet<Worked> = JoinSet::new();
    let mut bytes = 0;
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(problem) => {
                // Orders already started are completed; a repeat with ids or a key finds the same orders.
                work.detach_all();
                return Err(problem);
            }
        };
        let index = reported.len();
        if index == state.rules.max_batch {
            work.detach_all();
            let detail =
                format!("at most {} orders in one batch; earlier orders may have been accepted", index);
            return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", index));
        }
        reported.push(Vec::new());
        let line = Bytes::copy_from_slice(line.bytes);
        bytes += line.len();
        let (state, caller, key) = (state.clone(), caller.clone(), key.as_ref().map(|key| key.part(index)));
        work.spawn(trace::within(async move {
            let length = line.len();
            let answered = Box::pin(one(&state, &caller, key, line)).await;
            (index, length, show(index, answered))
        }));
        while work.len() >= AT_A_TIME || (bytes > BYTES_AT_A_TIME && !work.is_empty()) {
            bytes -= note(&mut reported, work.join_next().await);
        }
    }
    while !work.is_empty() {
        note(&mut reported, work.join_next().await);
    }
    let lost = |index| show(index, Err(Problem::outcome_unknown()));
    let lines = reported.into_iter().enumerate();
    Ok(lines.flat_map(|(index, line)| if line.is_empty() { lost(index) } else { line }).collect())
}

/// An order that was processed: its index, its bytes, and its line of the response.
type Worked = (usize, usize, Vec<u8>);

/// Puts a response line in its place; returns how many bytes are free again.
fn note(reported: &mut [Vec<u8>], ended: Option<Result<Worked, JoinError>>) -> usize {
    match ended {
        Some(Ok((index, length, line))) => {
            if let Some(place) = reported.get_mut(index) {
                *place = line;
            }
            length
        }
        // It panicked: reported as unknown.
        _ => 0,
    }
}

async fn one(
    state: &IntakeState,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    line: Bytes,
) -> Result<AcceptedView, Problem> {
    let (rules, caller) = (state.rules.clone(), caller.clone());
    let share = caller.share.clone();
    let checked = state.offload.run(&share, line.len() <= SMALL_BODY, move || {
        let mut parsed: OrderBody<'_> = json::object(&line)?;
        let id = match parsed.id.take() {
            Some(id) => {
                let field_error = || {
                    ValidationError::new(
                        "/id",
                        ValidationCode::InvalidId,
                        "must be <sender id>.<nanoseconds>",
                    )
                };
                let OrderIdPath(id) = id.parse::<OrderIdPath>().map_err(|_| refused(vec![field_error()]))?;
                Some(id)
            }
            None => None,
        };
        let (draft, sorted, deliveries) = check(parsed, &caller, id.as_ref(), &rules)?;
        Ok((id, draft, sorted, deliveries))
    });
    let (id, draft, sorted, deliveries) = checked.await?;
    accept(state, draft, &Known { id, key }, sorted, deliveries).await
}

/// The log line that a separate request would have had.
fn log(index: usize, status: u16, code: Code) {
    let (route, trace_id, code) = ("/v1/orders/batch", trace::current(), code.word());
    match status {
        500.. => {
            tracing::warn!(
                event = "request.failed",
                trace_id,
                route,
                index,
                status,
                code,
                "order of a batch failed"
            );
        }
        _ => {
            tracing::info!(
                event = "request.refused",
                trace_id,
                route,
                index,
                status,
                code,
                "order of a batch refused"
            );
        }
    }
}

fn show(index: usize, answered: Result<AcceptedView, Problem>) -> Vec<u8> {
    let line = match answered {
        Ok(view) => BatchLine::Accepted(Box::new(BatchAccepted {
            index,
            status: view.http_status().as_u16(),
            replayed: view.again,
            order: view,
        })),
        Err(problem) => {
            let status = problem.code().status().as_u16();
            log(index, status, problem.code());
            BatchLine::Refused(BatchRefused { index, status, problem: problem.document() })
        }
    };
    let mut out = serde_json::to_vec(&line).unwrap_or_default();
    out.push(b'\n');
    out
}
