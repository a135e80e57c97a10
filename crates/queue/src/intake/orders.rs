//! `POST /v1/orders` and `PUT /v1/orders/{id}`: one order, as JSON or as an NDJSON upload.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use posthaste_model::OrderId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::accept::{Known, accept};
use super::answer::AcceptedView;
use super::digest::Digest;
use super::dry_run::{self, Count};
use super::idempotency::IdempotencyKey;
use super::json;
use super::order::{OrderBody, RawRecipients, RecipientBody};
use super::recipient_validator::{Deliveries, RecipientValidator, Sorted};
use super::settings::Rules;
use super::state::IntakeState;
use super::upload;
use super::validated_order::ValidatedOrder;
use super::validation_error::{Place, ValidationCode, ValidationError, refused};
use crate::auth::{Caller, Writer};
use crate::middleware::body::{expect, read};
use crate::offload::SMALL_BODY;
use crate::parameters::{OrderIdPath, Parameters};
use crate::problem::{Code, Problem, ProblemDocument};

/// Maximum bytes of a JSON body.
const MOST_JSON: usize = 16 * 1024 * 1024;

/// The query of both operations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CreateQuery {
    /// `true`: check everything, store nothing.
    dry_run: Option<String>,
}

impl CreateQuery {
    fn is_dry(&self) -> Result<bool, Problem> {
        match self.dry_run.as_deref() {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(Problem::parameter("dry_run", "unknown_value", "must be true or false")),
        }
    }
}

/// Create an order
///
/// The service creates the order's id; with `Idempotency-Key`, a repeat within 24 hours returns the same order. With
/// `Content-Type: application/x-ndjson`, the first line is the order without `recipients`, followed by one recipient
/// per line, up to 2,000,000. A success response means that the order is stored as `durability` says. While a part of
/// the database is unreachable, new orders get an id in a part that is reachable. Only requests bound to the
/// unreachable part get 503 with `Retry-After`: their key was already used for an order there, or their key or the
/// sender's day is stored there. Needs the scope `write`.
///
/// A message that is too long for every channel it would go to is refused (`too_long`). If only some channels can't
/// send it, the order is accepted, and `warnings` of the response (also of a dry run) says how many deliveries will fail.
///
/// Codes of invalid places in `errors`: `malformed_json`, `not_an_object`, `duplicate_key`, `unknown_field`,
/// `required`, `wrong_type`, `unknown_value`, `out_of_range`, `invalid_id`, `invalid_text`, `empty_text`,
/// `too_long`, `too_many`, `unknown_channel`, `invalid_email`, `invalid_phone`, `country_not_allowed`,
/// `number_not_allowed`, `invalid_address`, `invalid_time`, `time_out_of_range`, `expires_before_delivery`,
/// `sender_mismatch`, `no_reachable_recipient`, `not_allowed_here`.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", operation_id = "createOrder",
    params(CreateQuery, ("Idempotency-Key" = Option<String>, Header, description = "A unique name for this request.")),
    request_body(content((OrderBody<'_> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "The order is stored and due now.", body = AcceptedView),
        (status = 202, description = "The order is stored and due later.", body = AcceptedView),
        (status = "default", description = "A problem; nothing was stored, unless its code is outcome_unknown.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    Parameters(requested): Parameters<CreateQuery>,
    request: Request,
) -> Result<AcceptedView, Problem> {
    let known = Known { id: None, key: IdempotencyKey::of(request.headers())? };
    one(state, caller, requested.is_dry()?, known, request).await
}

/// Create an order under an id
///
/// Sending the same order again returns the same response; another order under the same id gets 409. Ids are created
/// by `POST /v1/order-ids`. An id determines the part of the database that holds the order; while that part is
/// unreachable, the response is 503 with `Retry-After`. Bodies are the same as for `POST /v1/orders`. Needs the scope
/// `write`.
#[utoipa::path(
    put, path = "/v1/orders/{id}", tag = "orders", operation_id = "putOrder",
    params(("id" = String, Path, description = "The order's id."), CreateQuery),
    request_body(content((OrderBody<'_> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "The order is stored and due now.", body = AcceptedView),
        (status = 202, description = "The order is stored and due later.", body = AcceptedView),
        (status = "default", description = "A problem; nothing was stored, unless its code is outcome_unknown.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put(
    Writer(caller): Writer,
    State(state): State<Arc<IntakeState>>,
    OrderIdPath(id): OrderIdPath,
    Parameters(requested): Parameters<CreateQuery>,
    request: Request,
) -> Result<AcceptedView, Problem> {
    let known = Known { id: Some(id), key: None };
    one(state, caller, requested.is_dry()?, known, request).await
}

async fn one(
    state: Arc<IntakeState>,
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
    state: Arc<IntakeState>,
    caller: Caller,
    dry: bool,
    known: Known,
    body: Body,
) -> Result<AcceptedView, Problem> {
    let bytes = read(body, MOST_JSON).await?;
    let (rules, id, share) = (state.rules.clone(), known.id.clone(), caller.share.clone());
    let checked = state.offload.run(&share, bytes.len() <= SMALL_BODY, move || {
        let parsed: OrderBody<'_> = json::object(&bytes)?;
        if parsed.id.is_some() {
            let detail = "not allowed here; give the id in the path: PUT /v1/orders/{id}";
            return Err(refused(vec![ValidationError::new("/id", ValidationCode::NotAllowedHere, detail)]));
        }
        let (draft, sorted, mut deliveries) = check(parsed, &caller, id.as_ref(), &rules)?;
        let count = dry.then(|| {
            let mut count = Count::new(rand::random());
            count.add(&mut deliveries);
            count
        });
        Ok((draft, sorted, deliveries, count))
    });
    let (draft, sorted, deliveries, count) = checked.await?;
    match count {
        Some(count) => dry_run::answer(&state, &draft, known.id.as_ref(), sorted, &count),
        None => accept(&state, draft, &known, sorted, deliveries).await,
    }
}

/// Checks a whole order.
pub(super) fn check(
    mut body: OrderBody<'_>,
    caller: &Caller,
    id: Option<&OrderId>,
    rules: &Arc<Rules>,
) -> Result<(ValidatedOrder, Sorted, Deliveries), Problem> {
    let digest = Digest::of(&body);
    let Some(RawRecipients { first, more }) = body.recipients.take() else {
        return Err(refused(vec![ValidationError::new(
            "/recipients",
            ValidationCode::Required,
            "name the recipients",
        )]));
    };
    let most = rules.max_recipients;
    if first.len() + more > most {
        let detail =
            format!("at most {most} recipients in one JSON body; upload more as NDJSON, one per line");
        return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", most));
    }
    let draft = ValidatedOrder::new(body, caller, id, rules)?;
    let mut validator = RecipientValidator::new(&draft, digest, rules, rand::random());
    let mut deliveries = Deliveries::new();
    for (at, raw) in first.iter().enumerate() {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let read = json::part::<RecipientBody<'_>>(raw.get().as_bytes());
        validator.take(index, Place::Recipient(at), raw.get(), read, &mut deliveries);
        if validator.is_full() {
            break;
        }
    }
    let sorted = validator.finish(&draft.content)?;
    Ok((draft, sorted, deliveries))
}

#[cfg(test)]
mod tests {
    use crate::intake::validation_error::ValidationCode;

    #[test]
    fn all_codes_of_invalid_places_are_described() {
        let described = crate::api::openapi_json();
        for code in ValidationCode::ALL {
            assert!(described.contains(&format!("`{}`", code.word())), "{code:?} is not described");
        }
    }
}
