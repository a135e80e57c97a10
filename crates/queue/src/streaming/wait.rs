//! `GET /v1/orders/{id}/wait`: a long poll.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use posthaste_model::OrderId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::order_watchers::{Follower, Looked};
use super::state::TrackersState;
use super::tracker_permit::TrackerPermit;
use crate::auth::{Caller, Reader, unauthorized};
use crate::order_response::{OrderView, Provenance};
use crate::parameters::{OrderIdPath, Parameters, flag, number};
use crate::problem::{Problem, ProblemDocument};

/// The highest whole number that every reader of JSON keeps exact (RFC 8259, section 6).
const HIGHEST_REVISION: u64 = (1 << 53) - 1;

/// Query of the long poll.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Number of changes to wait for, 1 to 16; default 1.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 16)]
    min_changes: Option<String>,
    /// Maximum seconds to wait, 0 to 60; default 10.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 60)]
    timeout_seconds: Option<String>,
    /// Count changes from this revision, so that none between two polls is missed; default: from now on.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_i64)]
    since_revision: Option<String>,
    /// Whether to wait even after the order is finished, for receipts that arrive later; default `false`.
    #[param(value_type = Option<bool>)]
    after_finish: Option<String>,
}

/// Response of the long poll.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Waited {
    /// The order; `null` if it does not exist yet.
    #[schema(value_type = Option<OrderView>, required = true)]
    order: Option<Box<RawValue>>,
    /// Whether the time ran out first.
    timed_out: bool,
}

/// Wait for changes of an order
///
/// Responds after `min_changes` changes, when the order is finished (unless `after_finish` is true), or when the time
/// runs out. An order that does not exist yet may be waited for: its acceptance is the first change. Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/wait", tag = "waiting", operation_id = "waitForOrder",
    params(("id" = String, Path, description = "The order's id."), WaitQuery),
    responses(
        (status = 200, description = "The current order.", body = Waited),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn wait(
    Reader(caller): Reader,
    State(state): State<Arc<TrackersState>>,
    OrderIdPath(order_id): OrderIdPath,
    Parameters(requested): Parameters<WaitQuery>,
) -> Result<Response, Problem> {
    caller.sees(&order_id)?;
    let touches = number("min_changes", requested.min_changes.as_deref(), 1..=16, 1)?;
    let seconds = number("timeout_seconds", requested.timeout_seconds.as_deref(), 0..=60, 10)?;
    let since = requested.since_revision.as_deref();
    let since =
        since.map(|since| number("since_revision", Some(since), 0..=HIGHEST_REVISION, 0)).transpose()?;
    let ends = !flag("after_finish", requested.after_finish.as_deref())?;
    let poll = Poll { touches, since, until: Instant::now() + Duration::from_secs(seconds), ends };
    let (order, timed_out) = poll.run(&state, &caller, &order_id).await?;
    Ok(Json(Waited { order, timed_out }).into_response())
}

/// A long poll.
pub(super) struct Poll {
    /// Number of changes to wait for.
    pub(super) touches: u64,
    /// The revision to count from.
    pub(super) since: Option<u64>,
    /// When the time runs out.
    pub(super) until: Instant,
    /// Whether the end of the order also ends the poll.
    pub(super) ends: bool,
}

impl Poll {
    /// The order as JSON, if it exists, and whether the time ran out first.
    ///
    /// # Errors
    /// 503 when no permit is free, or when the store did not answer in time; 401 when the key ended meanwhile.
    pub(super) async fn run(
        &self,
        state: &TrackersState,
        caller: &Caller,
        order_id: &OrderId,
    ) -> Result<(Option<Box<RawValue>>, bool), Problem> {
        let _place = TrackerPermit::take(state, caller)?;
        if self.until <= Instant::now() {
            // A caller that does not wait gets the current state, not the last one that other followers received.
            return self.look_once(state, order_id).await;
        }
        let mut key = caller.stay(&state.key_watch);
        let mut follower = state.watchers.follow(order_id);
        let enough = self.enough(&mut follower);
        let timed_out = tokio::select! {
            () = key.over() => return Err(unauthorized()),
            over = timeout_at(self.until, enough) => over.is_err(),
            () = state.soft.cancelled() => true,
        };
        key.must_tell().await?;
        match follower.now() {
            // No read succeeded in all that time: this one returns the error, or the current state.
            Looked::NotYet | Looked::Unreadable(_) => self.look_once(state, order_id).await,
            Looked::Absent => Ok((None, timed_out)),
            Looked::Seen(seen) => Ok((raw(&seen.json), timed_out)),
        }
    }

    /// Without time to wait: the current order.
    async fn look_once(
        &self,
        state: &TrackersState,
        order_id: &OrderId,
    ) -> Result<(Option<Box<RawValue>>, bool), Problem> {
        let Some(summary) = state.store.order_summary(order_id, None).await? else { return Ok((None, true)) };
        let provenance = Provenance::read(&state.store, order_id).await?;
        let view = OrderView::new(order_id, &summary, provenance, &*state.receipts.current().await?);
        let since = self.since.unwrap_or(view.revision);
        let timed_out =
            view.revision.saturating_sub(since) < self.touches && !(self.ends && summary.finished.is_some());
        Ok((serde_json::to_vec(&view).ok().as_deref().and_then(raw), timed_out))
    }

    async fn enough(&self, follower: &mut Follower) {
        let mut looked = follower.first().await;
        if matches!(looked, Looked::Unreadable(_)) {
            return;
        }
        let since = self.since.map_or_else(|| looked.touches(), |revision| revision.saturating_add(1));
        loop {
            let touched = looked.touches().saturating_sub(since) >= self.touches;
            let ended = self.ends && matches!(&looked, Looked::Seen(seen) if seen.ended);
            if touched || ended {
                return;
            }
            looked = follower.changed().await;
        }
    }
}

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    String::from_utf8(json.to_vec()).ok().and_then(|text| RawValue::from_string(text).ok())
}
