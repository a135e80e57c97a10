//! `POST /v1/orders/batch`: many orders, one a line, each accepted or refused by itself.

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
use super::flaw::{Flaw, FlawCode, refused};
use super::json;
use super::key::Key;
use super::lines::Lines;
use super::order::OrderBody;
use super::orders::check;
use super::upload::MEDIA_TYPE;
use crate::aside::SMALL_BODY;
use crate::auth::{Caller, Enqueuer};
use crate::edge::body::expect;
use crate::edge::trace;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::OrderId;
use crate::state::AppState;

/// Bytes of a batch at most.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of one order at most.
const MOST_ORDER: usize = 4 * 1024 * 1024;
/// Orders worked on at a time.
const AT_A_TIME: usize = 64;
/// Bytes of the orders worked on at a time, from which on no further one is begun.
const BYTES_AT_A_TIME: usize = 4 * 1024 * 1024;

/// What became of one order of a batch.
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
    /// Its place among the orders of the batch, from 0.
    index: usize,
    /// 200 or 202, as of the order alone.
    status: u16,
    /// The order.
    #[serde(flatten)]
    accepted: AcceptedView,
    /// Whether it had been accepted before; `false` when left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    replayed: bool,
}

/// An order of a batch that was refused.
#[derive(Debug, Serialize, ToSchema)]
struct BatchRefused {
    /// Its place among the orders of the batch, from 0.
    index: usize,
    /// The status of the problem.
    status: u16,
    /// Why.
    #[schema(value_type = ProblemDocument)]
    problem: Value,
}

/// Give many orders
///
/// One order a line (NDJSON), 10,000 lines and 64 MiB at most. Every order is accepted or refused by itself; the answer has a
/// line for each, in their order. An order may carry its own `order_id`. With `Idempotency-Key` the orders of a repeated batch
/// are the same orders. Needs the scope `enqueue`.
#[utoipa::path(
    post, path = "/v1/orders/batch", tag = "orders", operation_id = "createOrders",
    params(("Idempotency-Key" = Option<String>, Header, description = "The client's own name of this batch.")),
    request_body(content = String, content_type = "application/x-ndjson", description = "One `Order` a line."),
    responses(
        (status = 200, description = "A line for each order.", body = BatchLine, content_type = "application/x-ndjson"),
        (status = "default", description = "A problem of the whole batch.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Problem> {
    expect(request.headers(), MEDIA_TYPE)?;
    let key = Key::of(request.headers())?;
    let told = Box::pin(all(state, caller, key, request.into_body())).await?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, MEDIA_TYPE)], told).into_response())
}

async fn all(state: AppState, caller: Caller, key: Option<Key>, body: Body) -> Result<Vec<u8>, Problem> {
    let mut lines = Lines::new(Body::new(Limited::new(body, MOST_BYTES)), MOST_ORDER);
    let mut told: Vec<Vec<u8>> = Vec::new();
    let mut work: JoinSet<Worked> = JoinSet::new();
    let mut bytes = 0;
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(problem) => {
                // What was begun goes on; asked again with ids or a key it is the same.
                work.detach_all();
                return Err(problem);
            }
        };
        let index = told.len();
        if index == state.rules.max_batch {
            work.detach_all();
            let detail =
                format!("{} orders at most in one batch; those before may have been accepted", index);
            return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", index));
        }
        told.push(Vec::new());
        let line = Bytes::copy_from_slice(line.bytes);
        bytes += line.len();
        let (state, caller, key) = (state.clone(), caller.clone(), key.as_ref().map(|key| key.part(index)));
        work.spawn(trace::within(async move {
            let length = line.len();
            let answered = Box::pin(one(&state, &caller, key, line)).await;
            (index, length, show(index, answered))
        }));
        while work.len() >= AT_A_TIME || (bytes > BYTES_AT_A_TIME && !work.is_empty()) {
            bytes -= note(&mut told, work.join_next().await);
        }
    }
    while !work.is_empty() {
        note(&mut told, work.join_next().await);
    }
    let lost = |index| show(index, Err(Problem::outcome_unknown()));
    let lines = told.into_iter().enumerate();
    Ok(lines.flat_map(|(index, line)| if line.is_empty() { lost(index) } else { line }).collect())
}

/// An order that was worked on: its index, its bytes, and the line of the answer.
type Worked = (usize, usize, Vec<u8>);

/// Puts an answer where it belongs; answers how many bytes are free again.
fn note(told: &mut [Vec<u8>], ended: Option<Result<Worked, JoinError>>) -> usize {
    match ended {
        Some(Ok((index, length, line))) => {
            if let Some(place) = told.get_mut(index) {
                *place = line;
            }
            length
        }
        // It panicked: told as unknown.
        _ => 0,
    }
}

async fn one(
    state: &AppState,
    caller: &Caller,
    key: Option<Key>,
    line: Bytes,
) -> Result<AcceptedView, Problem> {
    let (rules, caller) = (state.rules.clone(), caller.clone());
    let share = caller.share.clone();
    let checked = state.aside.run(&share, line.len() <= SMALL_BODY, move || {
        let mut parsed: OrderBody<'_> = json::object(&line)?;
        let id = match parsed.order_id.take() {
            Some(id) => {
                let flaw = || Flaw::new("/order_id", FlawCode::InvalidId, "<sender id>.<nanoseconds>");
                let OrderId(id) = id.parse::<OrderId>().map_err(|_| refused(vec![flaw()]))?;
                Some(id)
            }
            None => None,
        };
        let (draft, sorted, rows) = check(parsed, &caller, id.as_ref(), &rules)?;
        Ok((id, draft, sorted, rows))
    });
    let (id, draft, sorted, rows) = checked.await?;
    accept(state, draft, &Known { id, key }, sorted, rows).await
}

/// The line of the log that a request of its own would have had.
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
            status: view.status().as_u16(),
            replayed: view.again,
            accepted: view,
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
