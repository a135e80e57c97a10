//! The routes put together, and their description.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::edge::{guard, trace};
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::{auth, intake, keys, parked, read, reference, suppressions, track};

/// What is said of the whole interface.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Posthaste",
        description = "One message, told once, reaches thousands of people by e-mail, SMS, Telegram and VK, each at its own \
            pace, and the sender sees who got it and how.\n\nEvery refusal is a problem document (RFC 9457) with a stable \
            `code`. Answers with 503 or 429 say in `Retry-After` when to ask again.\n\n\
            `outcome_unknown` (503) means that the request may have been carried out: its idempotency key stays in use, the \
            order keeps its place in the daily limit, and `order_id` names the order. Repeat the same request with the same \
            `Idempotency-Key` or id until the answer is not a 503: it finds the order if there is one (a replay, with \
            `Idempotent-Replayed: true`) and makes it if there is none, so the message goes out once. No other 503 takes an \
            `outcome_unknown` back.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Bearer),
    security(("key" = [])),
    tags(
        (name = "orders", description = "Messages to lists of recipients, and what became of them."),
        (name = "trackers", description = "Waiting for changes."),
        (name = "senders", description = "What a sender may still send."),
        (name = "couriers", description = "The channels there are."),
        (name = "suppressions", description = "Addresses that get nothing."),
        (name = "parked", description = "Orders that can't be read and wait for an operator."),
        (name = "keys", description = "Who may do what."),
        (name = "ancestor", description = "The paths of the service this one follows."),
    ),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(
            Http::builder()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("A key: `ph_<id>_<secret>`."))
                .build(),
        );
        openapi.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(intake::routes())
        .merge(read::routes())
        .merge(suppressions::routes())
        .merge(parked::routes())
        .merge(keys::routes())
        .merge(track::routes())
}

/// The description of the interface: OpenAPI 3.1 as indented JSON, with a line end.
#[must_use]
pub fn openapi_json() -> String {
    // A description holds texts alone: writing it cannot fail.
    let mut openapi = serde_json::to_value(described().into_openapi()).unwrap_or_default();
    crate::described::by_status(&mut openapi);
    let mut text = serde_json::to_string_pretty(&openapi).unwrap_or_default();
    text.push('\n');
    text
}

/// The whole service.
pub fn router(state: AppState) -> Router {
    let authenticated = || from_fn_with_state(state.clone(), auth::authenticate);
    let work = OpenApiRouter::new()
        .merge(intake::routes())
        .merge(read::routes())
        .merge(suppressions::routes())
        .merge(parked::routes())
        .merge(keys::routes());
    // The last layer is the first to see a request: what finds no place costs nothing more.
    let work = Router::from(work).layer(from_fn_with_state(state.clone(), guard::share));
    let work = work.layer(authenticated()).layer(from_fn_with_state(state.clone(), guard::place));
    let routes = work.merge(Router::from(track::routes()).layer(authenticated()));
    let json = openapi_json();
    let page = reference::page(&json);
    let routes = Router::new()
        .route("/openapi.json", get(async move || document(json.clone(), "application/json")))
        .route("/docs", get(async move || reference::answer(page.clone())))
        .merge(routes);
    guarded(routes, state)
}

/// Routes behind the outer layer: whatever becomes of a request, a panic included, its answer is one of ours.
pub fn guarded(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .layer(from_fn(trace::identify))
        .with_state(state)
}

fn document(text: String, media_type: &'static str) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "nothing has this path; see /docs")
}

async fn method_not_allowed() -> (StatusCode, Problem) {
    let problem = Problem::new(Code::MethodNotAllowed, "the header allow names the methods");
    (StatusCode::METHOD_NOT_ALLOWED, problem)
}
