//! Who gets nothing: looking into the suppression lists, putting addresses there, and lifting them. Addresses come in bodies
//! alone, never in a path or query, where logs and proxies would keep them; none is ever told.

mod asked;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, future, stream};
use posthaste_model::Reason;
use posthaste_store::{
    CallError, Notice, Source, Suppress, Suppressed, Suppression, SuppressionCursor, SuppressionId,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::asked::{AddressesBody, Changer, Looker};
use crate::auth::Admin;
use crate::edge::body::SmallJson;
use crate::moment::Moment;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::read::{Parameters, link, number};
use crate::state::AppState;
use crate::view::reason_word;

/// Addresses worked on at the same time for one request.
const AT_ONCE: usize = 64;

/// An entry of a suppression list.
#[derive(Debug, Serialize, ToSchema)]
struct SuppressionView {
    /// What it can be lifted by: a keyed hash, from which the address can't be told.
    #[schema(example = "5bdcc146bf60754e6a042426089575c7")]
    id: String,
    /// `channel`: holds for all senders; `sender`: for one, whose name is in the hash alone.
    #[schema(example = "channel")]
    list: &'static str,
    /// `active`: the address gets nothing; `striking`: failures are counted, it still gets everything.
    #[schema(example = "active")]
    state: &'static str,
    /// Why, as a stable word; a provider's own reasons are `provider_` and their number.
    #[schema(example = "bounced")]
    reason: String,
    /// Who said so: `provider`, `bounce`, `stop`, `unsubscribe`, `operator`.
    #[schema(example = "bounce")]
    source: &'static str,
    /// Since when it is active, or the first strike.
    since: Moment,
    /// Strikes counted.
    strikes: u8,
}

impl From<Suppression> for SuppressionView {
    fn from(entry: Suppression) -> Self {
        Self {
            id: entry.id.to_string(),
            list: if entry.of_sender { "sender" } else { "channel" },
            state: if entry.active { "active" } else { "striking" },
            reason: reason_word(entry.reason).unwrap_or_default(),
            source: entry.source.word(),
            since: Moment(entry.since),
            strikes: entry.strikes,
        }
    }
}

/// A page of a channel's entries.
#[derive(Debug, Serialize, ToSchema)]
struct SuppressionPage {
    /// In no order.
    items: Vec<SuppressionView>,
    /// Asks for the next page; missing on the last one.
    next_cursor: Option<String>,
}

/// What was found of each address.
#[derive(Debug, Serialize, ToSchema)]
struct FoundList {
    /// One an address, in the order of the body.
    items: Vec<Found>,
}

/// What was found of one address.
#[derive(Debug, Serialize, ToSchema)]
struct Found {
    /// Position in the body, from 0.
    index: usize,
    /// Whether it gets nothing.
    suppressed: bool,
    /// Its entries: that of the channel, and that of the sender.
    entries: Vec<SuppressionView>,
}

/// What became of addresses put on a list.
#[derive(Debug, Serialize, ToSchema)]
struct Put {
    /// Newly on the list.
    added: usize,
    /// Were there already.
    unchanged: usize,
}

/// What became of addresses taken off a list.
#[derive(Debug, Serialize, ToSchema)]
struct Lifted {
    /// Taken off.
    lifted: usize,
    /// Were not there.
    not_there: usize,
}

/// What a list is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListAsked {
    /// The channel; needed.
    #[param(required, value_type = String)]
    channel: Option<String>,
    /// Entries of a page, 1 to 1000; 100 if not given. A page may be shorter, or somewhat longer.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The routes of suppressions.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(find))
        .routes(routes!(lift))
        .routes(routes!(lift_entry))
}

/// Entries of a channel's lists
///
/// The channel's own and those of all senders. While the lists change an entry may be told twice. Needs the scope `admin`.
#[utoipa::path(
    get, path = "/v1/suppressions", tag = "suppressions", operation_id = "listSuppressions", params(ListAsked),
    responses(
        (status = 200, description = "A page of entries; `Link` names the next one.", body = SuppressionPage),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn list(
    _: Admin,
    State(state): State<AppState>,
    Parameters(asked): Parameters<ListAsked>,
) -> Result<Response, Problem> {
    let no_channel = || Problem::parameter("channel", "unknown_value", "the name of a channel");
    let channel = asked.channel.as_deref().and_then(asked::channel).ok_or_else(no_channel)?;
    let limit = number("limit", asked.limit.as_deref(), 1..=1_000, 100)?;
    let cursor = asked.cursor.as_deref().map(str::parse::<SuppressionCursor>).transpose();
    let cursor = cursor.map_err(|_| {
        Problem::parameter("cursor", "invalid_cursor", "the next_cursor of a page of this list")
    })?;
    let page = state.store.list_suppressions(&channel, cursor, usize::try_from(limit).unwrap_or(1)).await?;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let items = page.entries.into_iter().map(SuppressionView::from).collect();
    let mut headers = HeaderMap::new();
    if let Some(cursor) = &next_cursor {
        let limit = asked.limit.is_some().then(|| limit.to_string());
        link(
            &mut headers,
            "/v1/suppressions",
            &[("channel", Some(channel.to_string())), ("limit", limit)],
            cursor,
        );
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((headers, Json(SuppressionPage { items, next_cursor })).into_response())
}

/// Put addresses on a list
///
/// From now on they get nothing on this channel, from anybody or from the sender. Needs the scope `admin`; for the list of the
/// sender a key acts for, `enqueue`. An address that is wrong is told, and then nothing is put there. May be repeated.
#[utoipa::path(
    post, path = "/v1/suppressions", tag = "suppressions", operation_id = "addSuppressions",
    request_body = AddressesBody,
    responses(
        (status = 200, description = "They are on the list.", body = Put),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn add(
    Changer(caller): Changer,
    State(state): State<AppState>,
    SmallJson(body): SmallJson<AddressesBody>,
) -> Result<Json<Put>, Problem> {
    let asked = body.read(caller, &state, true).await?;
    let notice = Notice::heard(Instant::now());
    let all: Vec<Suppress> = asked
        .addresses
        .into_iter()
        .map(|address| Suppress {
            sender: asked.sender.clone(),
            address,
            reason: Reason::ByOperator,
            source: Source::Operator,
            after: 1,
            notice: notice.clone(),
        })
        .collect();
    let put = state.store.suppress(&asked.channel, &all).await;
    let put = put.map_err(|error| Problem::of_write(&error))?;
    let count = |wanted| put.iter().filter(|one| **one == wanted).count();
    let (added, unchanged) = (count(Suppressed::Added), count(Suppressed::Again));
    if added + unchanged < put.len() {
        // A record of a later version.
        return Err(Problem::new(Code::StoreUnavailable, "not all of them are on the list; ask again"));
    }
    tracing::info!(channel = %asked.channel, added, "addresses were suppressed by an operator");
    Ok(Json(Put { added, unchanged }))
}

/// Look addresses up
///
/// Whether they get nothing, and why: by the list of the channel, or by that of the sender. Needs the scope `admin`; for the
/// sender a key acts for, `read`.
#[utoipa::path(
    post, path = "/v1/suppressions/find", tag = "suppressions", operation_id = "findSuppressions",
    request_body = AddressesBody,
    responses(
        (status = 200, description = "What is known of each.", body = FoundList),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn find(
    Looker(caller): Looker,
    State(state): State<AppState>,
    SmallJson(body): SmallJson<AddressesBody>,
) -> Result<Response, Problem> {
    let asked = body.read(caller, &state, false).await?;
    let (store, channel, sender) = (&state.store, &asked.channel, asked.sender.as_ref());
    let found = stream::iter(asked.addresses.into_iter().enumerate()).map(|(index, address)| async move {
        let of_sender = async {
            match sender {
                Some(_) => store.find_suppression(channel, &address, sender).await,
                None => Ok(None),
            }
        };
        let (of_channel, of_sender) =
            future::try_join(store.find_suppression(channel, &address, None), of_sender).await?;
        let entries = of_channel.into_iter().chain(of_sender);
        let suppressed = entries.clone().any(|entry| entry.active);
        Ok::<_, CallError>(Found { index, suppressed, entries: entries.map(SuppressionView::from).collect() })
    });
    let items = found.buffered(AT_ONCE).try_collect().await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(FoundList { items })).into_response())
}

/// Take addresses off a list
///
/// Off the one list that is named, strikes too. Needs the scope `admin`; for the list of the sender a key acts for, `enqueue`.
/// May be repeated.
#[utoipa::path(
    post, path = "/v1/suppressions/lift", tag = "suppressions", operation_id = "liftSuppressions",
    request_body = AddressesBody,
    responses(
        (status = 200, description = "They are off the list.", body = Lifted),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn lift(
    Changer(caller): Changer,
    State(state): State<AppState>,
    SmallJson(body): SmallJson<AddressesBody>,
) -> Result<Json<Lifted>, Problem> {
    let asked = body.read(caller, &state, false).await?;
    let (store, channel, sender) = (&state.store, &asked.channel, asked.sender.as_ref());
    let all = stream::iter(asked.addresses)
        .map(|address| async move { store.lift(channel, &address, sender).await });
    let done: Vec<Result<bool, CallError>> = all.buffered(AT_ONCE).collect().await;
    let failed: Vec<&CallError> = done.iter().filter_map(|done| done.as_ref().err()).collect();
    if let Some(error) = failed.iter().find(|error| error.may_have_happened()).or(failed.first()) {
        // Of several some may be off the list although others were refused.
        let none = failed.len() == done.len();
        return Err(if none { Problem::of_write(error) } else { Problem::outcome_unknown() });
    }
    let lifted = done.iter().flatten().filter(|lifted| **lifted).count();
    tracing::info!(%channel, lifted, "suppressions were lifted");
    Ok(Json(Lifted { lifted, not_there: done.len() - lifted }))
}

/// Take one entry off its list
///
/// Needs the scope `admin`.
#[utoipa::path(
    delete, path = "/v1/suppressions/{channel}/{id}", tag = "suppressions", operation_id = "liftSuppression",
    params(
        ("channel" = String, Path, description = "The channel."),
        ("id" = String, Path, description = "The id of the entry, as it is listed."),
    ),
    responses(
        (status = 204, description = "It is off the list."),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn lift_entry(
    _: Admin,
    State(state): State<AppState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let no_channel = || Problem::parameter("channel", "unknown_value", "the name of a channel");
    let channel = asked::channel(&name).ok_or_else(no_channel)?;
    let id: SuppressionId =
        id.parse().map_err(|_| Problem::parameter("id", "invalid_id", "32 of 0-9 a-f"))?;
    let lifted = state.store.lift_entry(&channel, id).await;
    if lifted.map_err(|error| Problem::of_write(&error))? {
        tracing::info!(%channel, "a suppression was lifted");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::SuppressionNotFound, "no entry of this channel has this id"))
}
