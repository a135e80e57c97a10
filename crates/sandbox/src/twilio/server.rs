//! The API: credentials, paths, limits and faults.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use posthaste_model::{Address, Text, UnixMs};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::create::{self, New};
use super::resource::{Kept, Messages};
use super::settings::Settings;
use super::status_timeline::{self, Plan};
use super::{callback, errors, magic, segments};
use crate::fake_provider::{
    self, Answer, Ask, Back, Common, FakeServerError, Form, MessageAction, Opening, Provider, ProviderAnswer,
    RequestFate, SeenMessage, basic,
};
use crate::record::{AttemptRecipient, Record};

/// Most numbers and senders remembered.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(199_999);

/// The fake Twilio API, listening.
pub type TwilioServer = fake_provider::FakeServer<FakeTwilio>;

/// State of the API.
#[derive(Debug)]
pub struct FakeTwilio {
    pub(super) inside: Arc<Inside>,
}

/// State that tasks keep using after a request was answered.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(super) settings: Settings,
    pub(super) back: Back,
    pub(super) client: reqwest::Client,
    pub(super) calls: Semaphore,
    messages: Mutex<Messages>,
    opted_out: Mutex<LruCache<String, ()>>,
    /// Until when a sender is busy with its segments.
    turns: Mutex<LruCache<String, Instant>>,
    banned_until: Mutex<Option<Instant>>,
    /// Accepted messages whose attempt has no number yet.
    begun: Mutex<HashMap<u64, Begun>>,
    revoked: AtomicBool,
    last: AtomicU64,
}

#[derive(Debug)]
struct Begun {
    kept: Kept,
    plan: Plan,
    answered: Option<oneshot::Sender<()>>,
}

impl TwilioServer {
    /// Starts it and returns once it is listening. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The address is in use, or a setting or a fault is invalid.
    pub async fn start(settings: Settings) -> Result<Self, FakeServerError> {
        Self::start_with(settings, None)
    }

    pub(crate) fn start_with(
        settings: Settings,
        record: Option<Arc<Record>>,
    ) -> Result<Self, FakeServerError> {
        if !create::is_sid(&settings.account, "AC") {
            return Err(FakeServerError::Setting("twilio.account must be AC and 32 hexadecimal digits"));
        }
        let (listen, magic, reply_after) = (settings.listen, settings.magic, settings.reply_after);
        let common =
            Common { listen, faults: settings.faults.clone(), magic, reply_after, bounds: settings.bounds };
        let client = callback::client(settings.callback_within)
            .map_err(|_| FakeServerError::Setting("cannot create the HTTP client for callbacks"))?;
        Self::open(Opening { common, record }, |back| FakeTwilio {
            inside: Arc::new(Inside {
                settings,
                back,
                client,
                calls: Semaphore::new(callback::MOST_CALLS),
                messages: Mutex::default(),
                opted_out: Mutex::new(LruCache::new(MOST)),
                turns: Mutex::new(LruCache::new(MOST)),
                banned_until: Mutex::default(),
                begun: Mutex::default(),
                revoked: AtomicBool::new(false),
                last: AtomicU64::new(0),
            }),
        })
    }

    /// From now on, refuses the credentials or accepts them again.
    pub fn revoke(&self, revoked: bool) {
        self.shared.provider.inside.revoked.store(revoked, Ordering::Relaxed);
    }

    pub(crate) fn inside(&self) -> Arc<Inside> {
        Arc::clone(&self.shared.provider.inside)
    }
}

/// The target of a request.
enum Place<'a> {
    Account,
    Messages,
    Message(&'a str),
}

impl Provider for FakeTwilio {
    const NAME: &'static str = "twilio";
    const CHANNEL: &'static str = "sms";

    fn knows(action: &MessageAction) -> bool {
        !matches!(
            action,
            MessageAction::RefuseCall { .. }
                | MessageAction::RefuseRecipient { .. }
                | MessageAction::Migrate { .. }
                | MessageAction::Strange
        )
    }

    fn treat(&self, ask: &Ask<'_>) -> ProviderAnswer {
        let (inside, whole) = (&self.inside, ask.whole);
        let account = inside.settings.account.as_str();
        let refuse = |method: &str, code| ProviderAnswer::refused(account, method, errors::refusal(code, ""));
        let Some((of, place)) = place(whole.place()) else { return refuse("", 20_404) };
        let form = Form::of(whole);
        let verb = whole.verb.as_str();
        let creates = matches!(place, Place::Messages) && verb == "POST";
        let shown = |provider_answer: ProviderAnswer, code: u16| match creates {
            true => provider_answer.with(message(&form, code, None)),
            false => provider_answer,
        };
        let method = match (&place, verb) {
            (Place::Account, _) => "account",
            (Place::Messages, "POST") => "messages.create",
            (Place::Messages, _) => "messages.list",
            (Place::Message(_), _) => "message",
        };
        if ask.in_flight > inside.settings.concurrency {
            return shown(refuse(method, 20_429), 20_429);
        }
        if of != account || !inside.knows(basic(whole)) {
            return shown(refuse(method, 20_003), 20_003);
        }
        let messages = || inside.messages();
        match (place, verb) {
            (Place::Messages, "POST") => self.create(&form, method, ask),
            (Place::Messages, "GET") => match messages().list(account, &form) {
                Ok(page) => ProviderAnswer::done(account, method, Answer::json(200, &page)),
                Err(()) => refuse(method, 20_001),
            },
            (Place::Message(sid), "GET") => match messages().get(sid) {
                Some(kept) => ProviderAnswer::done(account, method, Answer::json(200, &kept.json(account))),
                None => refuse(method, 20_404),
            },
            (Place::Account, "GET") => {
                let body = json!({
                    "sid": account, "friendly_name": "Sandbox", "status": "active", "type": "Full",
                    "owner_account_sid": account, "uri": format!("/2010-04-01/Accounts/{account}.json"),
                });
                ProviderAnswer::done(account, method, Answer::json(200, &body))
            }
            _ => ProviderAnswer::refused(
                account,
                method,
                Answer { status: 405, ..errors::refusal(20_004, "Method not allowed") },
            ),
        }
    }

    fn recorded(&self, message: &SeenMessage, attempt: Option<u64>) {
        let Some(Begun { kept, plan, answered }) = self.inside.begun().remove(&message.ticket) else {
            return;
        };
        let (inside, stop) = (Arc::clone(&self.inside), self.inside.back.stop.clone());
        self.inside.back.tasks.spawn(async move {
            stop.run_until_cancelled(status_timeline::run(inside, kept, plan, attempt, answered)).await;
        });
    }
}

impl FakeTwilio {
    fn create(&self, form: &Form, method: &str, ask: &Ask<'_>) -> ProviderAnswer {
        let inside = &self.inside;
        let account = inside.settings.account.as_str();
        let refuse = |code, words: &str| {
            ProviderAnswer::refused(account, method, errors::refusal(code, words))
                .with(message(form, code, None))
        };
        if inside.banned_until().is_some_and(|until| until > ask.now) {
            return ProviderAnswer { fate: RequestFate::InBan, ..refuse(20_429, "") };
        }
        let to = form.get("To").unwrap_or_default();
        let magic = || ask.magic.then(|| magic::action(to)).flatten();
        let action = ask.faults.strike(to, account).or_else(magic);
        match &action {
            Some(MessageAction::Refuse { code, description }) => return refuse(*code, description),
            Some(MessageAction::Throttle { retry_after }) => {
                *inside.banned_until() = ask.now.checked_add(Duration::from_secs(*retry_after));
                let answer = errors::refusal(20_429, "").retry_after(*retry_after);
                return ProviderAnswer::refused(account, method, answer).with(message(form, 20_429, None));
            }
            Some(action) => {
                if let Some((reply, fate)) = action.instead() {
                    let code = if let RequestFate::Refused(status @ 300..) = fate { status } else { 0 };
                    let provider_answer = ProviderAnswer { reply, fate, ..refuse(20_500, "") };
                    return provider_answer.with(message(form, code, None));
                }
            }
            None => {}
        }
        let new = match create::read(form, &inside.settings, ask.magic) {
            Ok(new) => new,
            Err(code) => return refuse(code, ""),
        };
        if inside.opted_out.lock().unwrap_or_else(PoisonError::into_inner).contains(&new.to) {
            return refuse(21_610, "");
        }
        let sender = new.from.as_deref().or(new.service.as_deref()).unwrap_or_default();
        if inside.messages().waiting(sender) >= inside.settings.queue {
            return refuse(21_611, "");
        }
        let (ticket, kept) = inside.take(new, ask.at);
        let answer = Answer::json(201, &kept.json(account));
        let (mut reply, fate) = MessageAction::deliver(action.as_ref(), answer);
        let shown = SeenMessage { ticket, ..message(form, 201, Some(&kept.sid)) };
        let plan = Plan::of(action.as_ref());
        let mut answered = None;
        if plan.is_early() {
            let (tell, hold) = oneshot::channel();
            (answered, reply.hold) = (Some(tell), Some(hold));
        }
        inside.begun().insert(ticket, Begun { kept, plan, answered });
        let (account, method) = (account.to_owned(), method.to_owned());
        ProviderAnswer { account, method, reply, fate, message: Some(shown) }
    }
}

impl Inside {
    pub(super) fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<u64, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn banned_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.banned_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, credentials: Option<(String, String)>) -> bool {
        let Some((name, word)) = credentials else { return false };
        let secret = match name == self.settings.account {
            true => Some(&self.settings.auth_token),
            false => self.settings.keys.get(&name),
        };
        !self.revoked.load(Ordering::Relaxed) && secret.is_some_and(|secret| secret.expose_secret() == word)
    }

    /// A new message number, as our counter and as Twilio's sid.
    pub(super) fn sid(&self, at: UnixMs) -> (u64, String) {
        let last = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        (last, format!("SM{:016x}{last:016x}", at.0))
    }

    fn take(&self, new: New, at: UnixMs) -> (u64, Kept) {
        let New { to, from, service, body, callback } = new;
        let (ticket, sid) = self.sid(at);
        let kept = Kept {
            sid,
            to,
            status: if service.is_some() { "accepted" } else { "queued" },
            from,
            service,
            segments: segments::count(&body),
            body,
            created: at,
            updated: at,
            sent: None,
            error: None,
            callback,
            inbound: false,
        };
        self.messages().put(kept.clone(), self.settings.keep_messages);
        (ticket, kept)
    }

    /// Reserves the next turn of a sender, of length `span`; returns the wait until it starts.
    pub(super) fn take_turn(&self, sender: &str, span: Duration) -> Duration {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let free = turns.get_or_insert_mut(sender.to_owned(), || now);
        let begins = (*free).max(now);
        *free = begins.checked_add(span).unwrap_or(begins);
        begins - now
    }

    /// A number opts out or in; returns whether it is opted out now.
    pub(super) fn opt(&self, number: &str, kind: Option<&str>) -> bool {
        let mut all = self.opted_out.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Some("STOP") => {
                all.put(number.to_owned(), ());
            }
            Some("START") => {
                all.pop(number);
            }
            _ => {}
        }
        all.contains(number)
    }
}

/// Parses a path: the account and the resource.
fn place(path: &str) -> Option<(&str, Place<'_>)> {
    let rest = path.strip_prefix("/2010-04-01/Accounts/")?;
    match rest.split_once('/') {
        None => rest.strip_suffix(".json").map(|account| (account, Place::Account)),
        Some((account, "Messages.json")) => Some((account, Place::Messages)),
        Some((account, rest)) => {
            let sid = rest.strip_prefix("Messages/")?.strip_suffix(".json")?;
            Some((account, Place::Message(sid)))
        }
    }
}

/// A message as it is shown.
fn message(form: &Form, code: u16, sid: Option<&str>) -> SeenMessage {
    let word = |name: &str| form.get(name).unwrap_or_default();
    let to = AttemptRecipient { address: Address::new(word("To")), code, id: sid.map(Into::into) };
    let sender = form.get("From").or_else(|| form.get("MessagingServiceSid")).unwrap_or_default();
    SeenMessage {
        sender: Address::new(sender),
        recipients: vec![to],
        text: Text::new(word("Body")),
        order: form.get("StatusCallback").and_then(create::order),
        ticket: 0,
    }
}
