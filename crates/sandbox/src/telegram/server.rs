//! The Bot API: tokens, methods, limits and faults, request by request.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use posthaste_model::{Address, Clock, SystemClock, Text};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::limits::{BotLimits, Counting};
use super::people::{Crowd, People};
use super::{answer, magic, methods};
use crate::fake_provider::{
    self, Answer, Ask, Bounds, Common, FakeServerError, MessageAction, MessageFault, Opening, Provider,
    ProviderAnswer, Reply, RequestFate, SeenMessage, any_port, is_known,
};
use crate::record::{AttemptRecipient, Record};

/// Settings of the fake Bot API. [`Settings::default`] listens on loopback, on a port the system picks, and accepts
/// any token.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Listen address.
    pub listen: SocketAddr,
    /// Accepted tokens; if empty, any are accepted.
    pub tokens: Vec<SecretString>,
    /// Its limits.
    pub limits: BotLimits,
    /// Initial faults.
    pub faults: Vec<MessageFault>,
    /// Whether magic chats are active.
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
            tokens: Vec::new(),
            limits: BotLimits::default(),
            faults: Vec::new(),
            magic: true,
            reply_after: Duration::ZERO,
            bounds: Bounds::default(),
        }
    }
}

/// The fake Bot API, listening.
pub type TelegramServer = fake_provider::FakeServer<FakeTelegram>;

/// State of the Bot API.
#[derive(Debug)]
pub struct FakeTelegram {
    tokens: Vec<SecretString>,
    revoked: Mutex<BTreeSet<u64>>,
    counting: Mutex<Counting>,
    messages: AtomicU64,
    people: Arc<Mutex<People>>,
}

impl TelegramServer {
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
        let Settings { listen, tokens, limits, faults, magic, reply_after, bounds } = settings;
        let common = Common { listen, faults, magic, reply_after, bounds };
        Self::open(Opening { common, record }, |_| FakeTelegram {
            tokens,
            revoked: Mutex::default(),
            counting: Mutex::new(Counting::new(limits)),
            messages: AtomicU64::new(0),
            people: Arc::new(Mutex::new(People::new())),
        })
    }

    /// A person blocks or unblocks this bot: an update reports it, and while blocked, messages to them are refused.
    /// Returns the number of the update.
    pub fn block(&self, bot: u64, person: i64, blocked: bool) -> i64 {
        self.shared.provider.people().block(bot, person, blocked, SystemClock.now())
    }

    /// A person writes to this bot; one who had blocked it unblocks it first. Returns the number of the update.
    pub fn write(&self, bot: u64, person: i64, text: &str) -> i64 {
        self.shared.provider.people().write(bot, person, text, SystemClock.now())
    }

    /// For the outbox.
    pub(crate) fn people(&self) -> Crowd {
        Crowd(Arc::clone(&self.shared.provider.people))
    }

    /// Sets other limits, and forgets what was sent.
    pub fn set_limits(&self, limits: BotLimits) {
        self.shared.provider.counting().set(limits);
    }

    /// From now on, refuses this bot's token or accepts it again.
    pub fn revoke(&self, bot: u64, revoked: bool) {
        let mut all = self.shared.provider.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        if revoked {
            all.insert(bot)
        } else {
            all.remove(&bot)
        };
    }
}

impl Provider for FakeTelegram {
    const NAME: &'static str = "telegram";
    const CHANNEL: &'static str = "telegram";

    fn knows(action: &MessageAction) -> bool {
        match action {
            MessageAction::Refuse { code, .. } => (400..600).contains(code),
            MessageAction::RefuseCall { .. }
            | MessageAction::RefuseRecipient { .. }
            | MessageAction::End { .. }
            | MessageAction::Callbacks(_) => false,
            _ => true,
        }
    }

    fn treat(&self, ask: &Ask<'_>) -> ProviderAnswer {
        let whole = ask.whole;
        let Some(place) = methods::place(&whole.path) else {
            return ProviderAnswer::refused("", "", answer::refusal(404, "Not Found"));
        };
        let (bot, method) = (place.bot.to_string(), place.method.as_str());
        let refuse = |code, words| ProviderAnswer::refused(&bot, method, answer::refusal(code, words));
        let is_message = method == "sendmessage";
        let parameters = methods::parameters(whole);
        // A message refused for its token is shown like any other.
        let shown = |provider_answer: ProviderAnswer, code: u16| match &parameters {
            Some(parameters) if is_message => provider_answer.with(message(parameters, &bot, code)),
            _ => provider_answer,
        };
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(&place.bot);
        if revoked || !is_known(&self.tokens, &place.token) {
            return shown(refuse(401, "Unauthorized"), 401);
        }
        if !matches!(whole.verb.as_str(), "GET" | "POST") {
            return refuse(405, "Method Not Allowed");
        }
        self.people().seen(place.bot);
        match method {
            "getupdates" => match &parameters {
                Some(parameters) => {
                    let reply = self.people().ask(place.bot, parameters);
                    ProviderAnswer {
                        reply,
                        ..ProviderAnswer::done(&bot, method, answer::result(&Value::Null))
                    }
                }
                None => refuse(400, "Bad Request: can't parse request"),
            },
            "getme" => ProviderAnswer::done(&bot, method, methods::me(place.bot)),
            "sendmessage" => {
                let Some(parameters) = &parameters else {
                    return refuse(400, "Bad Request: can't parse request");
                };
                let (reply, fate) = self.message(parameters, place.bot, ask);
                let code = match fate {
                    RequestFate::Done | RequestFate::Taken => 200,
                    // An unrelated page: nothing is accepted.
                    RequestFate::Refused(200) => 0,
                    RequestFate::Refused(status) => status,
                    RequestFate::InBan => 429,
                    RequestFate::Cut | RequestFate::Broken => 0,
                };
                let provider_answer = ProviderAnswer {
                    account: bot.clone(),
                    method: place.method.clone(),
                    reply,
                    fate,
                    message: None,
                };
                shown(provider_answer, code)
            }
            _ => refuse(404, "Not Found"),
        }
    }
}

/// A message as it is shown.
fn message(parameters: &Value, bot: &str, code: u16) -> SeenMessage {
    let to = AttemptRecipient { address: Address::new(methods::chat(parameters)), code, id: None };
    SeenMessage {
        sender: Address::new(bot),
        recipients: vec![to],
        text: Text::new(parameters["text"].as_str().unwrap_or_default()),
        ..SeenMessage::default()
    }
}

impl FakeTelegram {
    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, parameters: &Value, bot: u64, ask: &Ask<'_>) -> (Reply, RequestFate) {
        let refuse = |answer: Answer| {
            let status = answer.status;
            (Reply::say(answer), RequestFate::Refused(status))
        };
        let (chat, now) = (methods::chat(parameters), ask.now);
        if let Some(ban) = self.counting().banned(bot, now) {
            return (Reply::say(answer::wait(ban.retry_after)), RequestFate::InBan);
        }
        if let Err(answer) = methods::check(parameters) {
            return refuse(answer);
        }
        if self.people().has_blocked(bot, &chat) {
            return refuse(answer::refusal(403, "Forbidden: bot was blocked by the user"));
        }
        let magic = || ask.magic.then(|| magic::action(&chat)).flatten();
        let action = ask.faults.strike(&chat, &bot.to_string()).or_else(magic);
        match &action {
            Some(MessageAction::Refuse { code, description }) => {
                return refuse(answer::refusal(*code, description));
            }
            Some(MessageAction::Migrate { to }) => return refuse(answer::moved(*to)),
            Some(MessageAction::Throttle { retry_after }) => {
                self.counting().ban(bot, now, *retry_after);
                return refuse(answer::wait(*retry_after));
            }
            Some(action) => {
                if let Some(instead) = action.instead() {
                    return instead;
                }
            }
            None => {}
        }
        if let Err(limited) = self.counting().count(bot, &chat, now) {
            return refuse(answer::wait(limited.retry_after));
        }
        let id = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        if action == Some(MessageAction::Strange) {
            let strange = serde_json::json!({ "message_id": [id], "rich_message": {} });
            return (Reply::say(answer::result(&strange)), RequestFate::Done);
        }
        MessageAction::deliver(action.as_ref(), methods::sent(parameters, bot, id, ask.at))
    }
}
