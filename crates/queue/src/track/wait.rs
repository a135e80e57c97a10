//! `GET /v1/orders/{id}/wait`: a long poll.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use posthaste_model::Suffix;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::hub::{Follower, Looked};
use super::place::TrackerPlace;
use crate::auth::{Caller, Reader, unauthorized};
use crate::problem::{Problem, ProblemDocument};
use crate::read::{OrderId, Parameters, flag, number};
use crate::state::AppState;
use crate::view::OrderView;

/// What is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Changes to wait for, 1 to 16; 1 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 16)]
    touch_count: Option<String>,
    /// Seconds to wait at most, 0 to 60; 10 if not given.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 60)]
    timeout: Option<String>,
    /// Counts changes from this revision on, so that none between two polls is missed; from now on if not given.
    #[param(value_type = Option<u64>)]
    since: Option<String>,
    /// Whether it also waits once the order is finished, for what receipts tell later; `false` if not given.
    #[param(value_type = Option<bool>)]
    past_end: Option<String>,
}

/// What a long poll answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Waited {
    /// The order; missing as long as there is none.
    #[schema(value_type = Option<OrderView>)]
    history: Option<Box<RawValue>>,
    /// Whether the time was over first.
    timed_out: bool,
}

/// Wait for changes of an order
///
/// Answers after `touch_count` changes, when the order is finished unless `past_end` is true, or when the time is over. An order that does not exist
/// yet may be waited for: its acceptance is the first change. Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/wait", tag = "trackers", operation_id = "waitForOrder",
    params(("id" = String, Path, description = "The order's id."), Asked),
    responses(
        (status = 200, description = "The order as it is then.", body = Waited),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn wait(
    Reader(caller): Reader,
    State(state): State<AppState>,
    OrderId(suffix): OrderId,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    caller.sees(&suffix)?;
    let touches = number("touch_count", asked.touch_count.as_deref(), 1..=16, 1)?;
    let seconds = number("timeout", asked.timeout.as_deref(), 0..=60, 10)?;
    let since =
        asked.since.as_deref().map(|since| number("since", Some(since), 0..=u64::MAX, 0)).transpose()?;
    let ends = !flag("past_end", asked.past_end.as_deref())?;
    let poll = Poll { touches, since, until: Instant::now() + Duration::from_secs(seconds), ends };
    let (history, timed_out) = poll.run(&state, &caller, &suffix).await?;
    Ok(Json(Waited { history, timed_out }).into_response())
}

/// A long poll.
pub(super) struct Poll {
    /// Changes to wait for.
    pub(super) touches: u64,
    /// The revision to count from.
    pub(super) since: Option<u64>,
    /// When the time is over.
    pub(super) until: Instant,
    /// Whether the end of the order ends it too.
    pub(super) ends: bool,
}

impl Poll {
    /// The order as JSON, if there is one, and whether the time was over first.
    ///
    /// # Errors
    /// 503 when there is no place, or when the store told nothing in time; 401 when the key ended meanwhile.
    pub(super) async fn run(
        &self,
        state: &AppState,
        caller: &Caller,
        suffix: &Suffix,
    ) -> Result<(Option<Box<RawValue>>, bool), Problem> {
        let _place = TrackerPlace::take(state, caller)?;
        if self.until <= Instant::now() {
            // Who does not wait is told what is true now, not what others who follow it were told last.
            return self.look_once(state, suffix).await;
        }
        let mut key = caller.stay(state);
        let mut follower = state.hub.follow(suffix);
        let enough = self.enough(&mut follower);
        let timed_out = tokio::select! {
            () = key.over() => return Err(unauthorized()),
            over = timeout_at(self.until, enough) => over.is_err(),
            () = state.soft.cancelled() => true,
        };
        key.must_tell().await?;
        match follower.now() {
            // No look succeeded in all that time: this one says why, or tells what is true now.
            Looked::NotYet | Looked::Unreadable(_) => self.look_once(state, suffix).await,
            Looked::Absent => Ok((None, timed_out)),
            Looked::Seen(seen) => Ok((raw(&seen.json), timed_out)),
        }
    }

    /// With no time to wait, the order as it is now.
    async fn look_once(
        &self,
        state: &AppState,
        suffix: &Suffix,
    ) -> Result<(Option<Box<RawValue>>, bool), Problem> {
        let Some(glance) = state.store.glance(suffix, None).await? else { return Ok((None, true)) };
        let provenance = crate::read::provenance(state, suffix).await?;
        let view = OrderView::new(suffix, &glance, provenance, &*state.receipts.said().await?);
        let since = self.since.unwrap_or(view.revision);
        let timed_out =
            view.revision.saturating_sub(since) < self.touches && !(self.ends && glance.finished.is_some());
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
