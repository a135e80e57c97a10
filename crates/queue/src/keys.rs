//! API keys of clients: create, list, revoke. A secret is shown once, when the key is created.

mod create;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{Clock, SenderId, UnixMs};
use posthaste_store::{CallError, KeyId, KeyRecord, KeyRevoked, KeyScope, KeyScopes, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Admin, AuthState};
use crate::middleware::body::SmallJson;
use crate::problem::{Code, Problem, ProblemDocument, STORE_RETRY, Violation};
use crate::timestamp::ApiTime;

pub use create::{MintError, Minted, Wanted, mint, send_as};

/// The state of the requests about keys.
pub(crate) struct KeysState {
    /// The database.
    pub(crate) store: Store,
    /// The wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The keys that this process knows.
    pub(crate) auth: Arc<AuthState>,
}

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// A name for people. Two live keys may share it.
    #[schema(example = "timetable", min_length = 1, max_length = 64)]
    name: String,
    /// `write`, `read`, `admin`, `any_sender`.
    #[schema(example = json!(["write", "read"]))]
    scopes: Vec<String>,
    /// The sender it is bound to; required unless it has `any_sender`.
    sender_id: Option<String>,
    /// The role it is bound to.
    role: Option<String>,
    /// Mailboxes that its orders may use in `sender.from_email` and `sender.reply_to`: `name@example.org`,
    /// `*@example.org` for a whole domain, `*` for any. Without any, its orders are sent from the installation's own address.
    #[serde(default)]
    #[schema(example = json!(["office@example.org"]), max_items = 64)]
    mailboxes: Vec<String>,
    /// Names that its orders may use in `sender.name`; `*` for any. Without any, its orders may not set a name.
    #[serde(default)]
    #[schema(example = json!(["Example Office"]), max_items = 64)]
    display_names: Vec<String>,
    /// When it expires (RFC 3339); if left out, it is valid until revoked.
    expires_at: Option<String>,
}

/// A key as listed: without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// The public part of the key.
    id: String,
    /// Its name.
    name: String,
    /// The scopes of the key.
    scopes: Vec<&'static str>,
    /// The sender it is bound to.
    #[schema(required = true)]
    sender_id: Option<String>,
    /// The role it is bound to.
    #[schema(required = true)]
    role: Option<String>,
    /// Mailboxes its orders may be sent from.
    mailboxes: Vec<String>,
    /// Names its orders may be sent under.
    display_names: Vec<String>,
    /// When it was created.
    created_at: ApiTime,
    /// When it expires.
    #[schema(required = true)]
    expires_at: Option<ApiTime>,
    /// When it was last used, to the minute.
    #[schema(required = true)]
    last_used_at: Option<ApiTime>,
    /// When it was revoked.
    #[schema(required = true)]
    revoked_at: Option<ApiTime>,
}

/// A key that was just created.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKeyView {
    /// The whole key, for the header `Authorization: Bearer`: shown only this once.
    token: String,
    /// The key as listed.
    #[serde(flatten)]
    view: KeyView,
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// Newest first; revoked and expired ones included.
    items: Vec<KeyView>,
}

impl From<KeyRecord> for KeyView {
    fn from(record: KeyRecord) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name,
            scopes: record.scopes.iter().map(KeyScope::word).collect(),
            sender_id: record.sender.map(String::from),
            role: record.role,
            mailboxes: record.send_as.mailboxes.iter().map(|one| one.expose().to_owned()).collect(),
            display_names: record.send_as.names.iter().map(|one| one.expose().to_owned()).collect(),
            created_at: ApiTime(record.created),
            expires_at: record.expires.map(ApiTime),
            last_used_at: record.last_used.map(ApiTime),
            revoked_at: record.revoked.map(ApiTime),
        }
    }
}

/// The routes of keys.
pub(crate) fn routes() -> OpenApiRouter<Arc<KeysState>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// Create a key
///
/// The response shows the whole key, only this once. Needs the scope `admin`.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api-keys", operation_id = "createKey",
    request_body = KeyBody,
    responses(
        (status = 201, description = "The key, shown only this once.", body = NewKeyView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn create(
    _: Admin,
    State(state): State<Arc<KeysState>>,
    SmallJson(body): SmallJson<KeyBody>,
) -> Result<Response, Problem> {
    let wanted = wanted(body, state.clock.now())?;
    let minted = mint(&state.store, &wanted).await.map_err(|error| match error {
        MintError::Unknown(_, error @ CallError::Fatal(_)) | MintError::Call(error) => error.into(),
        MintError::Unknown(id, _) => {
            let detail = "the key may have been created, but its secret can no longer be shown; list the keys, revoke the one \
                          with this key_id if it is there, and create another";
            Problem::new(Code::OutcomeUnknown, detail).with("key_id", id.to_string()).retry_after(STORE_RETRY)
        }
        MintError::Random(error) => {
            tracing::error!(
                event = "key.not_created",
                %error,
                "could not create a key: the system returned no random numbers"
            );
            Problem::new(Code::InternalError, "the system returned no random numbers")
        }
        MintError::NameTaken => Problem::new(Code::KeyNameTaken, error.to_string()),
        MintError::Full => Problem::new(Code::KeyLimitReached, error.to_string()),
        MintError::Name => violation("/name", error.to_string()),
        MintError::Powerless => violation("/scopes", error.to_string()),
        MintError::Unbound | MintError::Bound => violation("/sender_id", error.to_string()),
        MintError::Mailbox => violation("/mailboxes", error.to_string()),
        MintError::DisplayName => violation("/display_names", error.to_string()),
    })?;
    tracing::info!(
        event = "key.created",
        key = %minted.bearer.id,
        scopes = %wanted.scopes,
        "key created"
    );
    let view = KeyView {
        id: minted.bearer.id.to_string(),
        name: wanted.name,
        scopes: wanted.scopes.iter().map(KeyScope::word).collect(),
        sender_id: wanted.sender.map(String::from),
        role: wanted.role,
        mailboxes: wanted.send_as.mailboxes.iter().map(|one| one.expose().to_owned()).collect(),
        display_names: wanted.send_as.names.iter().map(|one| one.expose().to_owned()).collect(),
        created_at: ApiTime(minted.created),
        expires_at: wanted.expires.map(ApiTime),
        last_used_at: None,
        revoked_at: None,
    };
    let mut response =
        (StatusCode::CREATED, Json(NewKeyView { token: minted.bearer.expose(), view })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn violation(pointer: &str, detail: String) -> Problem {
    Problem::new(Code::ValidationFailed, "a field of the body is invalid")
        .with_errors([Violation::at(pointer, "invalid", detail)])
}

fn wanted(body: KeyBody, now: UnixMs) -> Result<Wanted, Problem> {
    let mut scopes = KeyScopes::default();
    for (at, word) in body.scopes.iter().enumerate() {
        let scope = word.parse::<KeyScope>().map_err(|_| {
            violation(&format!("/scopes/{at}"), "must be one of write, read, admin, any_sender".to_owned())
        })?;
        scopes = scopes.with(scope);
    }
    let sender = body.sender_id.map(|id| id.parse::<SenderId>()).transpose();
    let sender = sender.map_err(|error| violation("/sender_id", error.to_string()))?;
    if body.role.as_ref().is_some_and(|role| role.parse::<SenderId>().is_err()) {
        return Err(violation("/role", "must be 1 to 64 characters of A-Z a-z 0-9 _ -".to_owned()));
    }
    let expires = body.expires_at.as_deref().map(ApiTime::read).transpose();
    let expires = expires.map_err(|rule| violation("/expires_at", rule.to_owned()))?.map(|ApiTime(at)| at);
    if expires.is_some_and(|at| at <= now.after(Duration::from_secs(1))) {
        return Err(violation("/expires_at", "must be in the future".to_owned()));
    }
    let send_as = send_as(&body.mailboxes, &body.display_names).map_err(|error| match error {
        MintError::DisplayName => violation("/display_names", error.to_string()),
        other => violation("/mailboxes", other.to_string()),
    })?;
    Ok(Wanted { name: body.name, scopes, sender, role: body.role, send_as, expires })
}

/// List keys
///
/// The secrets are not included. Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api-keys", operation_id = "listKeys",
    responses(
        (status = 200, description = "The keys.", body = KeyList),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn list(_: Admin, State(state): State<Arc<KeysState>>) -> Result<Json<KeyList>, Problem> {
    let items = state.store.list_keys().await?.into_iter().map(KeyView::from).collect();
    Ok(Json(KeyList { items }))
}

/// Revoke a key
///
/// This replica refuses the key at once; others refuse it after at most `keys.cache_for`. Needs the scope `admin`.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "api-keys", operation_id = "revokeKey",
    params(("id" = String, Path, description = "The public part of the key.")),
    responses(
        (status = 204, description = "The key is revoked."),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn revoke(
    _: Admin,
    State(state): State<Arc<KeysState>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: KeyId =
        id.parse().map_err(|_| Problem::parameter("id", "invalid_id", "must be 12 characters of a-z 0-9"))?;
    let revoked = state.store.revoke_key(&id).await.map_err(|error| Problem::of_write(&error))?;
    state.auth.end_key(&id);
    tracing::info!(event = "key.revoked", key = %id, "key revoked");
    match revoked {
        KeyRevoked::Revoked(_) | KeyRevoked::AlreadyDone(_) => Ok(StatusCode::NO_CONTENT),
        KeyRevoked::NotFound => Err(Problem::new(Code::KeyNotFound, "no key has this id")),
    }
}
