//! The receiver: takes messages at every path, and knows the ids it has seen.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use posthaste_model::{Address, Text};
use serde::Deserialize;
use serde_json::json;

use super::magic;
use crate::fake_provider::{
    self, Answer, Ask, Bounds, Common, FakeServerError, MessageAction, MessageFault, Opening, Provider,
    ProviderAnswer, Reply, RequestFate, SeenMessage, any_port,
};
use crate::record::{AttemptRecipient, REPEATED, Record};

/// How many ids are remembered.
const MOST_IDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);

/// Settings of the fake receiver. [`Settings::default`] listens on loopback, on a port the system picks.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Listen address.
    pub listen: SocketAddr,
    /// Initial faults.
    pub faults: Vec<MessageFault>,
    /// Whether magic paths are active.
    pub magic: bool,
    /// Delay before each answer, to simulate a distant server.
    #[serde(with = "posthaste_ops::config::duration")]
    pub reply_after: Duration,
    /// Limits on what it holds.
    pub bounds: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: any_port(),
            faults: Vec::new(),
            magic: true,
            reply_after: Duration::ZERO,
            bounds: Bounds::default(),
        }
    }
}

/// The fake receiver, listening.
pub type WebhookServer = fake_provider::FakeServer<FakeWebhook>;

/// State of the receiver.
#[derive(Debug)]
pub struct FakeWebhook {
    seen: Mutex<LruCache<String, ()>>,
}

impl WebhookServer {
    /// Starts it and returns once it is listening. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The address is in use, or a fault is invalid.
    pub async fn start(settings: Settings) -> Result<Self, FakeServerError> {
        Self::start_with(settings, None)
    }

    pub(crate) fn start_with(
        settings: Settings,
        record: Option<Arc<Record>>,
    ) -> Result<Self, FakeServerError> {
        let Settings { listen, faults, magic, reply_after, bounds } = settings;
        let common = Common { listen, faults, magic, reply_after, bounds };
        let seen = Mutex::new(LruCache::new(MOST_IDS));
        Self::open(Opening { common, record }, |_| FakeWebhook { seen })
    }
}

/// A message as it is posted.
#[derive(Deserialize)]
struct Posted {
    id: String,
    text: String,
    #[serde(default)]
    subject: String,
}

impl Provider for FakeWebhook {
    const NAME: &'static str = "webhook";
    const CHANNEL: &'static str = "webhook";

    fn knows(action: &MessageAction) -> bool {
        match action {
            MessageAction::Refuse { code, .. } => (300..600).contains(code),
            MessageAction::RefuseCall { .. }
            | MessageAction::RefuseRecipient { .. }
            | MessageAction::Migrate { .. }
            | MessageAction::Strange
            | MessageAction::End { .. }
            | MessageAction::Callbacks(_) => false,
            _ => true,
        }
    }

    fn treat(&self, ask: &Ask<'_>) -> ProviderAnswer {
        let whole = ask.whole;
        if whole.verb != "POST" {
            return ProviderAnswer::refused("", "", answer(405));
        }
        let Ok(posted) = serde_json::from_slice::<Posted>(&whole.body) else {
            return ProviderAnswer::refused("", "", answer(400));
        };
        let url = whole.url();
        let (reply, fate, code) = self.take(&posted, &url, ask);
        let Posted { id, text, subject } = posted;
        let order = id.rsplitn(3, '.').nth(2).map(str::to_owned);
        let text = if subject.is_empty() { text } else { format!("{subject}\n\n{text}") };
        let message = SeenMessage {
            recipients: vec![AttemptRecipient { address: Address::new(url), code, id: Some(id.into()) }],
            text: Text::new(text),
            order,
            ..SeenMessage::default()
        };
        ProviderAnswer {
            account: String::new(),
            method: "post".to_owned(),
            reply,
            fate,
            message: Some(message),
        }
    }
}

impl FakeWebhook {
    /// The answer, the fate of the request, and the code for the recipient.
    fn take(&self, posted: &Posted, url: &str, ask: &Ask<'_>) -> (Reply, RequestFate, u16) {
        let magic = || ask.magic.then(|| magic::action(&ask.whole.path)).flatten();
        let action = ask.faults.strike(url, "").or_else(magic);
        match &action {
            Some(MessageAction::Refuse { code, .. }) => {
                return (Reply::say(answer(*code)), RequestFate::Refused(*code), *code);
            }
            Some(MessageAction::Throttle { retry_after }) => {
                let answer = answer(429).retry_after(*retry_after);
                return (Reply::say(answer), RequestFate::Refused(429), 429);
            }
            // An unrelated page with status 200 is an acceptance here.
            Some(MessageAction::Malformed) | None => {}
            Some(action) => {
                if let Some((reply, fate)) = action.instead() {
                    let code = if let RequestFate::Refused(status) = fate { status } else { 0 };
                    return (reply, fate, code);
                }
            }
        }
        let answer = if action == Some(MessageAction::Malformed) { Answer::html(200) } else { answer(200) };
        let (reply, fate) = MessageAction::deliver(action.as_ref(), answer);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = seen.put(posted.id.clone(), ()).is_none();
        (reply, fate, if is_new { 200 } else { REPEATED })
    }
}

fn answer(status: u16) -> Answer {
    Answer::json(status, &json!({ "status": status }))
}
