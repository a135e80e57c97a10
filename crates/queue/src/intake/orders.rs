//! `POST /v1/orders` and `PUT /v1/orders/{id}`: one order, as JSON or as an NDJSON upload.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use posthaste_model::Suffix;
use serde::Deserialize;
use utoipa::IntoParams;

use super::accept::{Known, accept};
use super::answer::AcceptedView;
use super::digest::Digest;
use super::draft::Draft;
use super::dry::{self, Count};
use super::flaw::{Flaw, FlawCode, Place, refused};
use super::json;
use super::key::Key;
use super::order::{OrderBody, RawRecipients, RecipientBody};
use super::settings::Rules;
use super::sieve::{Rows, Sieve, Sorted};
use super::upload;
use crate::aside::SMALL_BODY;
use crate::auth::{Caller, Enqueuer};
use crate::edge::body::{expect, read};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::{OrderId, Parameters};
use crate::state::AppState;

/// Bytes of a JSON body at most.
const MOST_JSON: usize = 16 * 1024 * 1024;

/// The query of both.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `true`: everything is checked, nothing is stored.
    dry_run: Option<String>,
}

impl Asked {
    fn is_dry(&self) -> Result<bool, Problem> {
        match self.dry_run.as_deref() {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(Problem::parameter("dry_run", "unknown_value", "true or false")),
        }
    }
}

/// Give an order
///
/// The id of the order is made here; `Idempotency-Key` makes a repeated request the same one for 24 hours. With
/// `Content-Type: application/x-ndjson` the first line is the order without `recipients`, then one recipient a line, up to
/// 2,000,000. An answer means that the order is stored as `durability` says. While a part of the database is away, the order
/// gets an id in the part that is there; only a request that is bound to what is away (its key was used before for an order
/// there, or its key or its sender's day is kept there) is answered 503 with `Retry-After`. Needs the scope `enqueue`.
///
/// Codes of wrong places in `errors`: `malformed_json`, `not_an_object`, `duplicate_key`, `unknown_field`,
/// `missing`, `wrong_type`, `unknown_value`, `bad_number`, `invalid_id`, `invalid_text`, `empty_text`,
/// `too_long`, `too_many`, `unknown_channel`, `invalid_mailbox`, `invalid_phone`, `invalid_chat`,
/// `invalid_peer`, `invalid_address`, `invalid_time`, `out_of_window`, `ends_before_due`, `other_sender`,
/// `no_rows`, `not_here`, `country_not_allowed`, `number_not_allowed`.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", operation_id = "createOrder",
    params(Asked, ("Idempotency-Key" = Option<String>, Header, description = "The client's own name of this request.")),
    request_body(content((OrderBody<'_> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "Stored, and due now.", body = AcceptedView),
        (status = 202, description = "Stored, and due later.", body = AcceptedView),
        (status = "default", description = "A problem; nothing was stored, unless its code is outcome_unknown.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
    request: Request,
) -> Result<AcceptedView, Problem> {
    let known = Known { id: None, key: Key::of(request.headers())? };
    one(state, caller, asked.is_dry()?, known, request).await
}

/// Give an order under an id
///
/// The same order again gets the same answer, another one 409. Ids are made by `POST /v1/order-ids`; an id names the part of the
/// database that holds the order, and while that is away the answer is 503 with `Retry-After`. Bodies as for
/// `POST /v1/orders`. Needs the scope `enqueue`.
#[utoipa::path(
    put, path = "/v1/orders/{id}", tag = "orders", operation_id = "putOrder",
    params(("id" = String, Path, description = "The order's id."), Asked),
    request_body(content((OrderBody<'_> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "Stored, and due now.", body = AcceptedView),
        (status = 202, description = "Stored, and due later.", body = AcceptedView),
        (status = "default", description = "A problem; nothing was stored, unless its code is outcome_unknown.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put(
    Enqueuer(caller): Enqueuer,
    State(state): State<AppState>,
    OrderId(id): OrderId,
    Parameters(asked): Parameters<Asked>,
    request: Request,
) -> Result<AcceptedView, Problem> {
    let known = Known { id: Some(id), key: None };
    one(state, caller, asked.is_dry()?, known, request).await
}

async fn one(
    state: AppState,
    caller: Caller,
    dry: bool,
    known: Known,
    request: Request,
) -> Result<AcceptedView, Problem> {
    let (parts, body) = request.into_parts();
    if is_ndjson(&parts.headers) {
        expect(&parts.headers, upload::MEDIA_TYPE)?;
        return Box::pin(upload::take(state, caller, dry, known, body)).await;
    }
    expect(&parts.headers, "application/json")?;
    Box::pin(whole(state, caller, dry, known, body)).await
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(upload::MEDIA_TYPE)
}

async fn whole(
    state: AppState,
    caller: Caller,
    dry: bool,
    known: Known,
    body: Body,
) -> Result<AcceptedView, Problem> {
    let bytes = read(body, MOST_JSON).await?;
    let (rules, id, share) = (state.rules.clone(), known.id.clone(), caller.share.clone());
    let checked = state.aside.run(&share, bytes.len() <= SMALL_BODY, move || {
        let parsed: OrderBody<'_> = json::object(&bytes)?;
        if parsed.order_id.is_some() {
            let detail = "it stands in the path of PUT /v1/orders/{id}";
            return Err(refused(vec![Flaw::new("/order_id", FlawCode::NotHere, detail)]));
        }
        let (draft, sorted, mut rows) = check(parsed, &caller, id.as_ref(), &rules)?;
        let count = dry.then(|| {
            let mut count = Count::new(rand::random());
            count.add(&mut rows);
            count
        });
        Ok((draft, sorted, rows, count))
    });
    let (draft, sorted, rows, count) = checked.await?;
    match count {
        Some(count) => dry::answer(&state, &draft, known.id.as_ref(), sorted, &count),
        None => accept(&state, draft, &known, sorted, rows).await,
    }
}

/// Checks a whole order.
pub(super) fn check(
    mut body: OrderBody<'_>,
    caller: &Caller,
    id: Option<&Suffix>,
    rules: &Arc<Rules>,
) -> Result<(Draft, Sorted, Rows), Problem> {
    let digest = Digest::of(&body);
    let Some(RawRecipients { first, more }) = body.recipients.take() else {
        return Err(refused(vec![Flaw::new("/recipients", FlawCode::Missing, "to whom")]));
    };
    let most = rules.max_recipients;
    if first.len() + more > most {
        let detail = format!("{most} recipients at most in one JSON body; give more as NDJSON, one a line");
        return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", most));
    }
    let draft = Draft::new(body, caller, id, rules)?;
    let mut sieve = Sieve::new(&draft, digest, rules, rand::random());
    let mut rows = Rows::new();
    for (at, raw) in first.iter().enumerate() {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let read = json::part::<RecipientBody<'_>>(raw.get().as_bytes());
        sieve.take(index, Place::Recipient(at), raw.get(), read, &mut rows);
        if sieve.is_full() {
            break;
        }
    }
    let sorted = sieve.finish()?;
    Ok((draft, sorted, rows))
}

#[cfg(test)]
mod tests {
    use crate::intake::flaw::FlawCode;

    #[test]
    fn all_codes_of_wrong_places_are_described() {
        let described = crate::api::openapi_json();
        for code in FlawCode::ALL {
            assert!(described.contains(&format!("`{}`", code.word())), "{code:?} is not described");
        }
    }
}
