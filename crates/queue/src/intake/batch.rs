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
struct BatchLine {
    /// Its place among the orders of the batch, from 0.
    index: usize,
    /// 200 or 202 when it was accepted, else the status of the problem.
    status: u16,
    /// The order, when it was accepted.
    #[serde(flatten)]
    accepted: Option<AcceptedView>,
    /// Whether it had been accepted before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemDocument>)]
    problem: Option<Value>,
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
        work.spawn(async move {
            let length = line.len();
            let answered = Box::pin(one(&state, &caller, key, line)).await;
            (index, length, show(index, answered))
        });
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
    let checked = state.aside.run(line.len() <= SMALL_BODY, move || {
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

fn show(index: usize, answered: Result<AcceptedView, Problem>) -> Vec<u8> {
    let line = match answered {
        Ok(view) => BatchLine {
            index,
            status: view.status().as_u16(),
            replayed: view.again,
            accepted: Some(view),
            problem: None,
        },
        Err(problem) => BatchLine {
            index,
            status: problem.code().status().as_u16(),
            replayed: false,
            accepted: None,
            problem: Some(problem.document()),
        },
    };
    let mut out = serde_json::to_vec(&line).unwrap_or_default();
    out.push(b'\n');
    out
}
