//! Keys of clients: making one, listing them, revoking one. A secret is shown once, when it is made.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_model::{SenderId, UnixMs};
use posthaste_store::{CallError, KeyCreated, KeyId, KeyRecord, KeyRevoked, NewKey, Scope, Scopes, Store};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Admin, Bearer, Secret};
use crate::edge::body::SmallJson;
use crate::moment::Moment;
use crate::problem::{Code, Problem, ProblemDocument, STORE_RETRY, Violation};
use crate::state::AppState;

/// Letters of a key's id.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// How often an id that is taken is drawn again.
const TRIES: u32 = 4;

/// What a key is to allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, for people, 1 to 64 bytes; two live keys may share it, so that one can replace the other.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// The sender it is bound to.
    pub sender: Option<SenderId>,
    /// The role it is bound to.
    pub role: Option<String>,
    /// When it ends.
    pub expires: Option<UnixMs>,
}

/// A key that was made. The bearer holds its secret.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The key itself.
    pub bearer: Bearer,
    /// When it was made.
    pub created: UnixMs,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Correct the name.
    #[error("a key's name has 1 to 64 bytes and no control characters")]
    Name,
    /// Name a sender: without `act_as` a key that sends or reads is bound to one.
    #[error("a key without act_as must be bound to a sender")]
    Unbound,
    /// Leave the sender and role out: `act_as` names them in each order.
    #[error("a key with act_as is not bound to a sender or role")]
    Bound,
    /// Name a scope.
    #[error("a key needs a scope")]
    Powerless,
    /// Revoke one of them first.
    #[error("two live keys have this name")]
    TwoLive,
    /// Revoke some first.
    #[error("there are too many keys")]
    Full,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    Random(#[source] rand::rand_core::OsError),
    /// Try again later: there is no new key.
    #[error("the store refused")]
    Call(#[source] CallError),
    /// Look whether a key of this id is there, and revoke it: it may have been made, and its secret is lost.
    #[error("a key {0} may have been made")]
    Unknown(KeyId, #[source] CallError),
}

/// Makes a key and stores what is to be stored of it.
///
/// # Errors
/// A [`MintError`]; unless it is `Unknown`, there is no new key.
pub async fn mint(store: &Store, wanted: &Wanted) -> Result<Minted, MintError> {
    check(wanted)?;
    let mut last = MintError::Full;
    for _ in 0..TRIES {
        let bearer = draw().map_err(MintError::Random)?;
        let key = NewKey {
            id: bearer.id.clone(),
            name: wanted.name.clone(),
            hash: bearer.secret.hash(),
            scopes: wanted.scopes,
            sender: wanted.sender.clone(),
            role: wanted.role.clone(),
            expires: wanted.expires,
        };
        let made = store.create_key(&key).await.map_err(|error| match error.may_have_happened() {
            true => MintError::Unknown(bearer.id.clone(), error),
            false => MintError::Call(error),
        });
        match made? {
            KeyCreated::Created(created) | KeyCreated::Same(created) => {
                return Ok(Minted { bearer, created });
            }
            KeyCreated::Taken => last = MintError::Full,
            KeyCreated::TwoLive(_) => return Err(MintError::TwoLive),
            KeyCreated::Full => return Err(MintError::Full),
        }
    }
    Err(last)
}

fn check(wanted: &Wanted) -> Result<(), MintError> {
    let name = &wanted.name;
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(MintError::Name);
    }
    if wanted.scopes.is_empty() {
        return Err(MintError::Powerless);
    }
    let bound = wanted.sender.is_some();
    match wanted.scopes.contains(Scope::ActAs) {
        true if bound || wanted.role.is_some() => Err(MintError::Bound),
        false
            if !bound && (wanted.scopes.contains(Scope::Enqueue) || wanted.scopes.contains(Scope::Read)) =>
        {
            Err(MintError::Unbound)
        }
        _ => Ok(()),
    }
}

/// A key of 256 random bits with a random id.
fn draw() -> Result<Bearer, rand::rand_core::OsError> {
    let mut bits = [0; 32];
    OsRng.try_fill_bytes(&mut bits)?;
    loop {
        let mut id = String::with_capacity(12);
        for _ in 0..12 {
            // 252 is the largest multiple of 36 in a byte: without the rest every letter is as likely.
            let byte = loop {
                let mut one = [0];
                OsRng.try_fill_bytes(&mut one)?;
                if one[0] < 252 {
                    break one[0];
                }
            };
            id.push(char::from(ALPHABET[usize::from(byte % 36)]));
        }
        if let Ok(id) = id.parse::<KeyId>() {
            return Ok(Bearer { id, secret: Secret::from_bits(bits) });
        }
    }
}

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// A name for people. Two live keys may share it.
    #[schema(example = "timetable", min_length = 1, max_length = 64)]
    name: String,
    /// `enqueue`, `read`, `admin`, `act_as`.
    #[schema(example = json!(["enqueue", "read"]))]
    scopes: Vec<String>,
    /// The sender it is bound to; needed unless it has `act_as`.
    sender_id: Option<String>,
    /// The role it is bound to.
    role: Option<String>,
    /// When it ends (RFC 3339); without it, when it is revoked.
    expires_at: Option<String>,
}

/// A key as it is listed: without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Its public part.
    id: String,
    /// Its name.
    name: String,
    /// What it allows.
    scopes: Vec<&'static str>,
    /// The sender it is bound to.
    sender_id: Option<String>,
    /// The role it is bound to.
    role: Option<String>,
    /// When it was made.
    created_at: Moment,
    /// When it ends.
    expires_at: Option<Moment>,
    /// When it was last used, to the minute.
    last_used_at: Option<Moment>,
    /// When it was revoked.
    revoked_at: Option<Moment>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKeyView {
    /// The whole key: shown this once.
    key: String,
    /// What is known of it.
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
            scopes: record.scopes.iter().map(Scope::word).collect(),
            sender_id: record.sender.map(String::from),
            role: record.role,
            created_at: Moment(record.created),
            expires_at: record.expires.map(Moment),
            last_used_at: record.last_used.map(Moment),
            revoked_at: record.revoked.map(Moment),
        }
    }
}

/// The routes of keys.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// Make a key
///
/// The answer shows the whole key, once. Needs the scope `admin`.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", operation_id = "createKey",
    request_body = KeyBody,
    responses(
        (status = 201, description = "The key, shown once.", body = NewKeyView),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn create(
    _: Admin,
    State(state): State<AppState>,
    SmallJson(body): SmallJson<KeyBody>,
) -> Result<Response, Problem> {
    let wanted = wanted(body, state.clock.now())?;
    let minted = mint(&state.store, &wanted).await.map_err(|error| match error {
        MintError::Unknown(_, error @ CallError::Stop(_)) | MintError::Call(error) => error.into(),
        MintError::Unknown(id, _) => {
            let detail = "the key may have been made, and its secret cannot be shown any more; list the keys, revoke the one \
                          of this key_id if it is there, and make another";
            Problem::new(Code::OutcomeUnknown, detail).with("key_id", id.to_string()).retry_after(STORE_RETRY)
        }
        MintError::Random(error) => {
            tracing::error!(%error, "no random numbers for a key");
            Problem::new(Code::Internal, "no random numbers")
        }
        MintError::TwoLive | MintError::Full => Problem::new(Code::TooManyKeys, error.to_string()),
        MintError::Name => violation("/name", error.to_string()),
        MintError::Powerless => violation("/scopes", error.to_string()),
        MintError::Unbound | MintError::Bound => violation("/sender_id", error.to_string()),
    })?;
    tracing::info!(key = %minted.bearer.id, scopes = %wanted.scopes, "a key was made");
    let view = KeyView {
        id: minted.bearer.id.to_string(),
        name: wanted.name,
        scopes: wanted.scopes.iter().map(Scope::word).collect(),
        sender_id: wanted.sender.map(String::from),
        role: wanted.role,
        created_at: Moment(minted.created),
        expires_at: wanted.expires.map(Moment),
        last_used_at: None,
        revoked_at: None,
    };
    let mut response =
        (StatusCode::CREATED, Json(NewKeyView { key: minted.bearer.expose(), view })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn violation(pointer: &str, detail: String) -> Problem {
    Problem::new(Code::InvalidBody, "a field of the body is wrong")
        .with_errors([Violation::at(pointer, "invalid", detail)])
}

fn wanted(body: KeyBody, now: UnixMs) -> Result<Wanted, Problem> {
    let mut scopes = Scopes::default();
    for (at, word) in body.scopes.iter().enumerate() {
        let scope = word.parse::<Scope>().map_err(|_| {
            violation(&format!("/scopes/{at}"), "one of enqueue, read, admin, act_as".to_owned())
        })?;
        scopes = scopes.with(scope);
    }
    let sender = body.sender_id.map(|id| id.parse::<SenderId>()).transpose();
    let sender = sender.map_err(|error| violation("/sender_id", error.to_string()))?;
    if body.role.as_ref().is_some_and(|role| role.parse::<SenderId>().is_err()) {
        return Err(violation("/role", "1 to 64 of A-Z a-z 0-9 _ -".to_owned()));
    }
    let expires = body.expires_at.as_deref().map(Moment::read).transpose();
    let expires = expires.map_err(|rule| violation("/expires_at", rule.to_owned()))?.map(|Moment(at)| at);
    if expires.is_some_and(|at| at <= now.after(Duration::from_secs(1))) {
        return Err(violation("/expires_at", "must lie in the future".to_owned()));
    }
    Ok(Wanted { name: body.name, scopes, sender, role: body.role, expires })
}

/// All keys
///
/// Without their secrets. Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", operation_id = "listKeys",
    responses(
        (status = 200, description = "The keys.", body = KeyList),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn list(_: Admin, State(state): State<AppState>) -> Result<Json<KeyList>, Problem> {
    let items = state.store.list_keys().await?.into_iter().map(KeyView::from).collect();
    Ok(Json(KeyList { items }))
}

/// Revoke a key
///
/// It is refused at once here, and elsewhere after `keys.known_for` at the latest. Needs the scope `admin`.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "revokeKey",
    params(("id" = String, Path, description = "The public part of the key.")),
    responses(
        (status = 204, description = "It is revoked."),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn revoke(
    _: Admin,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: KeyId = id.parse().map_err(|_| Problem::parameter("id", "invalid_id", "12 of a-z 0-9"))?;
    let revoked = state.store.revoke_key(&id).await.map_err(|error| Problem::of_write(&error))?;
    state.known.forget(&id);
    tracing::info!(key = %id, "a key was revoked");
    match revoked {
        KeyRevoked::Revoked(_) | KeyRevoked::Before(_) => Ok(StatusCode::NO_CONTENT),
        KeyRevoked::Gone => Err(Problem::new(Code::KeyNotFound, "no key has this id")),
    }
}
