//! `GET /v1/orders/{id}/events`: server-sent events.
//!
//! `snapshot` (data: the order, id: its revision) after every change, `end` (the same) when its last delivery is
//! final, and a comment as a heartbeat. A client that reconnects with `Last-Event-ID` gets no snapshot that it
//! already has.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::order_watchers::{Follower, Looked, Seen};
use super::state::TrackersState;
use super::tracker_permit::TrackerPermit;
use crate::auth::{OpenKey, Reader};
use crate::parameters::{OrderIdPath, Parameters, flag};
use crate::problem::{Code, Problem, ProblemDocument};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How soon a client reconnects after the stream broke.
const RETRY: &str = "retry: 2000\n\n";
const ALIVE: &str = ": alive\n\n";
/// How long the first read may take.
const FIRST: Duration = Duration::from_secs(5);

/// Query of the stream.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Whether the stream continues after `end`, for receipts that arrive later; default `false`.
    #[param(value_type = Option<bool>)]
    after_finish: Option<String>,
}

/// Follow an order
///
/// An order that does not exist yet may be followed. Needs the scope `read`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/events", tag = "waiting", operation_id = "followOrder",
    params(
        ("id" = String, Path, description = "The order's id."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received."),
        EventsQuery,
    ),
    responses(
        (status = 200, description = "Server-sent events: `snapshot` with the order as data and its revision as id, at \
            most four per second; `end` with the same once its last delivery is final. The stream then closes unless \
            `after_finish` is true.", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A problem.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stream(
    Reader(caller): Reader,
    State(state): State<Arc<TrackersState>>,
    OrderIdPath(order_id): OrderIdPath,
    Parameters(requested): Parameters<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.sees(&order_id)?;
    let after_finish = flag("after_finish", requested.after_finish.as_deref())?;
    let known = known(&headers)?;
    let place = TrackerPermit::take(&state, &caller)?;
    let mut key = caller.stay(&state.key_watch);
    let mut follower = state.watchers.follow(&order_id);
    let looked = timeout(FIRST, follower.first()).await.map_err(|_| {
        Problem::new(Code::StorageUnavailable, "the store did not answer in time")
            .retry_after(Duration::from_secs(1))
    })?;
    key.must_tell().await?;
    if let Looked::Unreadable(why) = looked {
        return Err(Problem::unreadable(why));
    }
    let reported = OrderStream {
        key,
        follower,
        next: Some(looked),
        known,
        last_status: None,
        greeted: false,
        ended: false,
        after_finish,
        heartbeat: state.heartbeat,
        soft: state.soft.clone(),
        _place: place,
    };
    let events = unfold(reported, |mut reported| async {
        reported.next().await.map(|event| (Ok::<_, Infallible>(event), reported))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Otherwise proxies that buffer responses would delay the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The revision that the client already has.
fn known(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let read = text
        .parse()
        .map_err(|_| Problem::parameter("Last-Event-ID", "invalid", "must be an event id of this stream"))?;
    Ok(Some(read))
}

/// One stream.
struct OrderStream {
    key: OpenKey,
    follower: Follower,
    /// The first read, not sent yet.
    next: Option<Looked>,
    /// The last revision sent.
    known: Option<u64>,
    /// The last status sent.
    last_status: Option<crate::order_response::OrderStatus>,
    greeted: bool,
    /// Whether `end` was sent.
    ended: bool,
    /// Whether the stream continues after that.
    after_finish: bool,
    heartbeat: Duration,
    soft: CancellationToken,
    _place: TrackerPermit,
}

impl OrderStream {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(Bytes::from_static(RETRY.as_bytes()));
        }
        let alive_at = Instant::now() + self.heartbeat;
        while self.after_finish || !self.ended {
            let looked = match self.next.take() {
                Some(first) => first,
                None => tokio::select! {
                    biased;
                    () = self.key.over() => return None,
                    looked = self.follower.changed() => looked,
                    // The client reconnects, to another replica or to the next process here.
                    () = self.soft.cancelled() => return None,
                    () = sleep_until(alive_at) => return Some(Bytes::from_static(ALIVE.as_bytes())),
                },
            };
            tokio::select! {
                biased;
                may_tell = self.key.may_tell() => if !may_tell {
                    return None;
                },
                () = self.soft.cancelled() => return None,
                () = sleep_until(alive_at) => {
                    // Sent once the key was found valid again.
                    self.next = Some(looked);
                    return Some(Bytes::from_static(ALIVE.as_bytes()));
                }
            }
            if let Looked::Seen(seen) = looked
                && let Some(event) = self.tell(&seen)
            {
                return Some(event);
            }
        }
        None
    }

    fn tell(&mut self, seen: &Seen) -> Option<Bytes> {
        // After a resume, the last status sent is unknown and only the revision counts.
        let same_status = self.last_status.is_none_or(|status| status == seen.status);
        let news = self.known != Some(seen.revision) || !same_status;
        self.known = Some(seen.revision);
        self.last_status = Some(seen.status);
        let ends = seen.ended && !self.ended;
        self.ended = seen.ended;
        let mut out = Vec::with_capacity(2 * seen.json.len() + 96);
        if news {
            write(&mut out, "snapshot", seen);
        }
        if ends {
            write(&mut out, "end", seen);
        }
        (!out.is_empty()).then(|| out.into())
    }
}

fn write(out: &mut Vec<u8>, event: &str, seen: &Seen) {
    out.extend_from_slice(format!("event: {event}\nid: {}\ndata: ", seen.revision).as_bytes());
    // Serialized JSON contains no line breaks.
    out.extend_from_slice(&seen.json);
    out.extend_from_slice(b"\n\n");
}
