//! What VK tells us by its Callback API: who denies messages, who allows them again. VK signs nothing, so the address holds a
//! random part and every word the secret. VK is told `ok` when a word is stored, and repeats it otherwise.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use lru::LruCache;
use posthaste_courier::refusals::Refusals;
use posthaste_courier::{Desk, List, NotStored, Notice, Said};
use posthaste_model::{Channel, Reason};
use posthaste_ops::address::Address;
use posthaste_ops::listen::{Limits, Listener};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peer::Peer;
use crate::settings::{BadSetting, Vk};

/// The largest word: a message with all it may carry.
const MOST_BYTES: usize = 1 << 20;
/// Words remembered, and the longest name of one.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not 0");
const LONGEST_NAME: usize = 128;

/// What the log says of words that are not believed.
const REFUSED: &str = "words of VK with another secret or community are refused; vk.secret or vk.group_id may not be what the \
                       community's settings say";

const LIMITS: Limits = Limits::for_strangers(MOST_BYTES);

/// The place where VK's words come in.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    listen: Address,
    path: SecretString,
    confirmation: String,
    secret: SecretString,
    group: u64,
}

struct Open {
    place: Inbound,
    refusals: Refusals,
    desk: Arc<dyn Desk>,
    /// Names of words that were heard.
    seen: Mutex<LruCache<String, Seen>>,
}

/// A word that was heard.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When it came first; not known of a repeat of what another process, or nobody, heard.
    first: Option<Instant>,
    stored: bool,
}

/// A word of VK, as far as it matters.
#[derive(Deserialize)]
pub(crate) struct Event {
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
    /// The place the settings name, if they do. They were checked before.
    ///
    /// # Errors
    /// The setting to change.
    pub(crate) fn read(settings: &Vk) -> Result<Option<Self>, BadSetting> {
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
    /// It can't listen.
    pub(crate) async fn serve(
        &self,
        channel: &Channel,
        desk: Arc<dyn Desk>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let listener = Listener::bind(&self.listen).await.map_err(|error| {
            let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("vk.listen: {error}{}", why.unwrap_or_default())
        })?;
        tracing::info!(address = %listener.address(), "words of VK come in here");
        let seen = Mutex::new(LruCache::new(REMEMBERED));
        let refusals = Refusals::new(channel, REFUSED);
        let open = Arc::new(Open { place: self.clone(), refusals, desk, seen });
        let routes = Router::new().route(self.path.expose_secret(), post(hear)).with_state(open);
        listener.serve(routes, LIMITS, stop).await;
        Ok(())
    }

    fn knows(&self, secret: &str) -> bool {
        self.secret.expose_secret().as_bytes().ct_eq(secret.as_bytes()).into()
    }
}

/// How often VK told it before; VK names no moment of who denies or allows messages.
const RETRY: &str = "x-retry-counter";

async fn hear(State(open): State<Arc<Open>>, headers: HeaderMap, body: Bytes) -> Response {
    let now = Instant::now();
    let Ok(event) = serde_json::from_slice::<Event>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let place = &open.place;
    // The question for the confirmation too: the secret is set in the community before VK asks.
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
    let said = seen.first.map_or(Said::Unknown, Said::Heard);
    let notice = match (event.event_id.is_empty(), seen.first) {
        (true, Some(first)) => Notice::heard(first),
        _ => Notice::named(event.event_id.as_str(), said),
    };
    match open.take(&event, notice).await {
        Ok(()) => {
            open.remember(event.event_id, Seen { stored: true, ..seen });
            OK.into_response()
        }
        Err(error) => {
            tracing::warn!(%error, kind = %known(&event.kind), "a word of VK can't be stored; VK will repeat it");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// What VK wants to read.
const OK: &str = "ok";

/// Only names we know reach the log.
fn known(kind: &str) -> &'static str {
    ["message_deny", "message_allow", "message_new"].into_iter().find(|name| *name == kind).unwrap_or("other")
}

impl Open {
    async fn take(&self, event: &Event, notice: Notice) -> Result<(), NotStored> {
        let of = |pointer: &str| event.object.pointer(pointer).and_then(Value::as_i64).and_then(Peer::number);
        match event.kind.as_str() {
            "message_deny" => match of("/user_id") {
                Some(peer) => {
                    let address = peer.address();
                    let told = self.desk.suppress(&address, &List::Channel, Reason::Blocked, &notice);
                    told.await.map(|_| ())
                }
                None => Ok(()),
            },
            "message_allow" => self.opt_in(of("/user_id"), &notice.remembered()).await,
            // Who writes to the community may be answered again. What a person says in a group chat says nothing of the two.
            "message_new" => {
                let (from, to) = (of("/message/from_id"), of("/message/peer_id"));
                self.opt_in(from.filter(|from| to.as_ref() == Some(from)), &notice).await
            }
            _ => Ok(()),
        }
    }

    async fn opt_in(&self, peer: Option<Peer>, notice: &Notice) -> Result<(), NotStored> {
        match peer {
            Some(peer) => {
                let address = peer.address();
                let told = self.desk.opt_in(&address, &List::Channel, &[Reason::Blocked], notice);
                told.await.map(|_| ())
            }
            None => Ok(()),
        }
    }

    /// What is known of a word that has come: what was seen of it before, or this.
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
