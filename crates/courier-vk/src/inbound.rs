//! Callbacks of VK's Callback API: who denies messages, and who allows them again. VK does not sign them, so the path holds a
//! random part and every event the secret. An event is answered `ok` only after it is stored; otherwise VK repeats it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use lru::LruCache;
use posthaste_courier::rejected_callbacks::RejectedCallbacks;
use posthaste_courier::{ConsentNotice, FeedbackSink, NotStored, NoticeMoment, SuppressionList};
use posthaste_model::{Channel, Reason};
use posthaste_ops::address::ListenAddress;
use posthaste_ops::listen::{Listener, ListenerLimits};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peer::Peer;
use crate::settings::{BadSetting, VkSettings};

/// The largest event: a message with everything it may carry.
const MOST_BYTES: usize = 1 << 20;
/// Events remembered, and the longest event id.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not 0");
const LONGEST_NAME: usize = 128;

/// The log text for events that fail authentication.
const REFUSED: &str = "VK callbacks refused because of a wrong secret or community id; check that vk.secret and vk.group_id \
                       match the community's settings";

const LIMITS: ListenerLimits = ListenerLimits::for_strangers(MOST_BYTES);

/// The endpoint for VK's callbacks.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    listen: ListenAddress,
    path: SecretString,
    confirmation: String,
    secret: SecretString,
    group: u64,
}

struct Open {
    place: Inbound,
    refusals: RejectedCallbacks,
    feedback: Arc<dyn FeedbackSink>,
    /// Ids of events received.
    seen: Mutex<LruCache<String, Seen>>,
}

/// An event that was received.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When it was first received; unknown for a repeat of an event that this process did not receive before.
    first: Option<Instant>,
    stored: bool,
}

/// An event, as far as it matters.
#[derive(Deserialize)]
pub(crate) struct CallbackEvent {
    #[serde(rename = "type")]
    kind: String,
    group_id: u64,
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    pub(crate) object: Value,
}

impl Inbound {
    /// The endpoint, if configured. The settings must have been checked.
    ///
    /// # Errors
    /// The setting to change.
    pub(crate) fn read(settings: &VkSettings) -> Result<Option<Self>, BadSetting> {
        if settings.listen.is_empty() {
            return Ok(None);
        }
        let listen = settings.listen.parse();
        Ok(Some(Self {
            listen: listen.map_err(|bad| BadSetting::new("vk.listen", format!("{bad}")))?,
            path: settings.path.clone(),
            confirmation: settings.confirmation.clone(),
            secret: settings.secret.clone(),
            group: settings.group_id,
        }))
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub(crate) async fn serve(
        &self,
        channel: &Channel,
        feedback: Arc<dyn FeedbackSink>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let listener = Listener::bind(&self.listen).await.map_err(|error| {
            let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("vk.listen: {error}{}", why.unwrap_or_default())
        })?;
        tracing::info!(
            event = "port.opened",
            port = "callbacks",
            address = %listener.address(),
            "listening for VK callbacks"
        );
        let seen = Mutex::new(LruCache::new(REMEMBERED));
        let refusals = RejectedCallbacks::new(channel, REFUSED);
        let open = Arc::new(Open { place: self.clone(), refusals, feedback, seen });
        let routes = Router::new().route(self.path.expose_secret(), post(hear)).with_state(open);
        listener.serve(routes, LIMITS, stop).await;
        Ok(())
    }

    fn knows(&self, secret: &str) -> bool {
        self.secret.expose_secret().as_bytes().ct_eq(secret.as_bytes()).into()
    }
}

/// The header that says how often VK sent an event before. Events about denying or allowing messages have no timestamp.
const RETRY: &str = "x-retry-counter";

async fn hear(State(open): State<Arc<Open>>, headers: HeaderMap, body: Bytes) -> Response {
    let now = Instant::now();
    let Ok(event) = serde_json::from_slice::<CallbackEvent>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let place = &open.place;
    // Also for the confirmation request: the secret is set in the community before VK sends it.
    if event.group_id != place.group || !place.knows(&event.secret) {
        open.refusals.add(now);
        return StatusCode::FORBIDDEN.into_response();
    }
    if event.kind == "confirmation" {
        return place.confirmation.clone().into_response();
    }
    let is_retry = headers.get(RETRY).is_some_and(|count| count.as_bytes() != b"0");
    let seen = open.see(&event.event_id, Seen { first: (!is_retry).then_some(now), stored: false });
    if seen.stored {
        return OK.into_response();
    }
    let said = seen.first.map_or(NoticeMoment::Unknown, NoticeMoment::Received);
    let notice = match (event.event_id.is_empty(), seen.first) {
        (true, Some(first)) => ConsentNotice::received(first),
        _ => ConsentNotice::named(event.event_id.as_str(), said),
    };
    match open.take(&event, notice).await {
        Ok(()) => {
            open.remember(event.event_id, Seen { stored: true, ..seen });
            OK.into_response()
        }
        Err(error) => {
            tracing::warn!(
                event = "feedback.not_stored",
                source = "vk",
                %error,
                kind = %known(&event.kind),
                "VK event can't be stored; VK will send it again"
            );
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// The answer VK expects.
const OK: &str = "ok";

/// The kind of an event for the log: only known names reach it.
fn known(kind: &str) -> &'static str {
    ["message_deny", "message_allow", "message_new"].into_iter().find(|name| *name == kind).unwrap_or("other")
}

impl Open {
    async fn take(&self, event: &CallbackEvent, notice: ConsentNotice) -> Result<(), NotStored> {
        let of = |pointer: &str| event.object.pointer(pointer).and_then(Value::as_i64).and_then(Peer::number);
        match event.kind.as_str() {
            "message_deny" => match of("/user_id") {
                Some(peer) => {
                    let address = peer.address();
                    let reported =
                        self.feedback.suppress(&address, &SuppressionList::Channel, Reason::Blocked, &notice);
                    reported.await.map(|_| ())
                }
                None => Ok(()),
            },
            "message_allow" => self.opt_in(of("/user_id"), &notice.remembered()).await,
            // A person who writes to the community may be sent messages again. A message in a group chat does not count.
            "message_new" => {
                let (from, to) = (of("/message/from_id"), of("/message/peer_id"));
                self.opt_in(from.filter(|from| to.as_ref() == Some(from)), &notice).await
            }
            _ => Ok(()),
        }
    }

    async fn opt_in(&self, peer: Option<Peer>, notice: &ConsentNotice) -> Result<(), NotStored> {
        match peer {
            Some(peer) => {
                let address = peer.address();
                let reported =
                    self.feedback.opt_in(&address, &SuppressionList::Channel, &[Reason::Blocked], notice);
                reported.await.map(|_| ())
            }
            None => Ok(()),
        }
    }

    /// What is known about an event: what was recorded when it was first received, or `now`.
    fn see(&self, name: &str, now: Seen) -> Seen {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return now;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.get_or_insert(name.to_owned(), || now)
    }

    fn remember(&self, name: String, what: Seen) {
        if !name.is_empty() && name.len() <= LONGEST_NAME {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).put(name, what);
        }
    }
}
