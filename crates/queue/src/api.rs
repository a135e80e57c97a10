//! Builds the routes and the OpenAPI description.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::middleware::{guard, trace};
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::{auth, docs_page, intake, keys, parked, read, streaming, suppressions};

/// The description of the whole API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Posthaste",
        description = "Send one message to thousands of people by e-mail, SMS, Telegram and VK, each channel at its own pace, \
            and see who received it and how.\n\n\
            Every request needs an API key in the header `Authorization: Bearer ph_<id>_<secret>`. An operator creates the \
            first key with `posthaste key create --direct`, further ones with `posthaste key create` or `POST /v1/api-keys`; \
            `posthaste dev` writes one to a file. A key has scopes: `write` (send, cancel and retry orders), `read` (see \
            orders, deliveries and couriers), `admin` (API keys, suppressions, parked orders), `any_sender` (act for every \
            sender). Without `any_sender` it is bound to one sender, and `sender.id` may be left out. 401 means that the key \
            is missing, malformed or not accepted; 403 that it does not allow this.\n\nEvery error is a problem document (RFC 9457) with a stable `code`. Responses \
            with 503 or 429 say in `Retry-After` when to retry, except when the limit of a whole day is reached: then \
            `resets_at` says when the next day begins.\n\n\
            `outcome_unknown` (503) means that the request may have been carried out: its idempotency key stays in use, the \
            order keeps its place in the daily limit, and `order_id` names the order. Repeat the same request with the same \
            `Idempotency-Key` or id until the response is not a 503. If the order exists, the repeat finds it (a replay, with \
            `Idempotent-Replayed: true`); otherwise the repeat creates it, so the message goes out once. No other 503 \
            overrides an `outcome_unknown`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Bearer),
    security(("key" = [])),
    tags(
        (name = "orders", description = "Messages to lists of recipients, and the state of their deliveries."),
        (name = "waiting", description = "Wait for changes of an order."),
        (name = "senders", description = "How many orders a sender may still send."),
        (name = "couriers", description = "Channels and their couriers."),
        (name = "suppressions", description = "Addresses that receive no messages."),
        (name = "parked", description = "Orders that can't be read and need an operator."),
        (name = "api-keys", description = "API keys and what they allow."),
        (name = "legacy", description = "The legacy API: the paths of the service that Posthaste replaces."),
    ),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(
            Http::builder()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An API key: `ph_<id>_<secret>`."))
                .build(),
        );
        openapi.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// The description of all routes.
fn described() -> utoipa::openapi::OpenApi {
    let mut whole = Description::openapi();
    for part in [
        intake::routes().into_openapi(),
        read::routes().into_openapi(),
        suppressions::routes().into_openapi(),
        parked::routes().into_openapi(),
        keys::routes().into_openapi(),
        streaming::routes().into_openapi(),
    ] {
        whole.merge(part);
    }
    whole
}

/// The OpenAPI 3.1 description as indented JSON, with a final newline.
#[must_use]
pub fn openapi_json() -> String {
    // A description holds only texts: serializing it cannot fail.
    let mut openapi = serde_json::to_value(described()).unwrap_or_default();
    crate::error_responses::by_status(&mut openapi);
    crate::examples::add(&mut openapi);
    let mut text = serde_json::to_string_pretty(&openapi).unwrap_or_default();
    text.push('\n');
    text
}

/// The router of the whole service: each module's routes get the state of that module.
pub fn router(state: AppState) -> Router {
    let authenticated = || from_fn_with_state(state.auth.clone(), auth::authenticate);
    let work = OpenApiRouter::new()
        .merge(intake::routes().with_state(state.intake.clone()))
        .merge(read::routes().with_state(state.read.clone()))
        .merge(suppressions::routes().with_state(state.suppressions.clone()))
        .merge(parked::routes().with_state(state.store.clone()))
        .merge(keys::routes().with_state(state.keys.clone()));
    // The last layer runs first: a request that finds no free place costs nothing more.
    let work = Router::from(work).layer(from_fn_with_state(state.guard.clone(), guard::share));
    let work = work.layer(authenticated()).layer(from_fn_with_state(state.guard.clone(), guard::place));
    let trackers = streaming::routes().with_state(state.trackers.clone());
    let routes = work.merge(Router::from(trackers).layer(authenticated()));
    let json = openapi_json();
    let page = docs_page::page(&json);
    let routes = Router::new()
        .route("/openapi.json", get(async move || document(json.clone(), "application/json")))
        .route("/docs", get(async move || docs_page::answer(page.clone())))
        .merge(routes);
    guarded(routes, state)
}

/// Adds the outer layer: every response is one of ours, even after a panic.
pub fn guarded(routes: Router, state: AppState) -> Router {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(state.guard, guard::guard))
        .layer(from_fn(trace::identify))
}

fn document(text: String, media_type: &'static str) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "no such path; see /docs")
}

async fn method_not_allowed() -> (StatusCode, Problem) {
    let problem =
        Problem::new(Code::MethodNotAllowed, "this path does not support the method; see the Allow header");
    (StatusCode::METHOD_NOT_ALLOWED, problem)
}
