//! The gateway: two request shapes, one set of answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use posthaste_model::{Address, Text};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::magic;
use crate::fake_provider::{
    self, Answer, Ask, Bounds, Common, FakeServerError, Form, MessageAction, MessageFault, Opening, Provider,
    ProviderAnswer, Reply, RequestFate, SeenMessage, any_port, bearer,
};
use crate::record::{AttemptRecipient, Record};

/// Most recipients per request, and most characters of a text.
const MOST_NUMBERS: usize = 100;
const MOST_CHARACTERS: usize = 1_600;

/// Settings of the fake gateway. [`Settings::default`] listens on loopback, on a port the system picks, and accepts
/// any credentials.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Listen address.
    pub listen: SocketAddr,
    /// Accepted values of `psw`, `apikey` or the Bearer token; if empty, any are accepted.
    pub secrets: Vec<SecretString>,
    /// Initial faults.
    pub faults: Vec<MessageFault>,
    /// Whether magic numbers are active.
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
            secrets: Vec::new(),
            faults: Vec::new(),
            magic: true,
            reply_after: Duration::ZERO,
            bounds: Bounds::default(),
        }
    }
}

/// The fake gateway, listening.
pub type GatewayServer = fake_provider::FakeServer<FakeGateway>;

/// State of the gateway.
#[derive(Debug)]
pub struct FakeGateway {
    secrets: Vec<SecretString>,
    revoked: AtomicBool,
    last: AtomicU64,
    banned_until: Mutex<Option<Instant>>,
}

impl GatewayServer {
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
        let Settings { listen, secrets, faults, magic, reply_after, bounds } = settings;
        let common = Common { listen, faults, magic, reply_after, bounds };
        Self::open(Opening { common, record }, |_| FakeGateway {
            secrets,
            revoked: AtomicBool::new(false),
            last: AtomicU64::new(0),
            banned_until: Mutex::default(),
        })
    }

    /// From now on, refuses all credentials or accepts them again.
    pub fn revoke(&self, revoked: bool) {
        self.shared.provider.revoked.store(revoked, Ordering::Relaxed);
    }
}

/// The shape of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Form,
    Json,
}

/// What a request wants to send.
struct Wanted {
    numbers: Vec<String>,
    from: String,
    text: String,
}

impl Provider for FakeGateway {
    const NAME: &'static str = "gateway";
    const CHANNEL: &'static str = "sms";

    fn knows(action: &MessageAction) -> bool {
        !matches!(
            action,
            MessageAction::RefuseCall { .. }
                | MessageAction::RefuseRecipient { .. }
                | MessageAction::Migrate { .. }
                | MessageAction::Strange
                | MessageAction::End { .. }
                | MessageAction::Callbacks(_)
        )
    }

    fn treat(&self, ask: &Ask<'_>) -> ProviderAnswer {
        let whole = ask.whole;
        let (shape, method) = match (whole.verb.as_str(), whole.place()) {
            ("GET" | "POST", "/sys/send.php") => (Shape::Form, "send"),
            ("POST", "/v1/messages") => (Shape::Json, "send"),
            ("GET" | "POST", "/sys/balance.php") => (Shape::Form, "balance"),
            ("GET", "/v1/balance") => (Shape::Json, "balance"),
            _ => return ProviderAnswer::refused("", "", Answer::html(404)),
        };
        let form = Form::of(whole);
        let wanted = match shape {
            Shape::Form => of_form(&form),
            Shape::Json => of_json(&whole.body),
        };
        let secret = match shape {
            Shape::Form => form.get("apikey").or_else(|| form.get("psw")),
            Shape::Json => bearer(whole),
        };
        let known = |secret: &str| self.secrets.iter().any(|known| known.expose_secret() == secret);
        let admitted = !self.revoked.load(Ordering::Relaxed)
            && secret.is_some_and(|secret| self.secrets.is_empty() || known(secret));
        if method == "balance" {
            return match admitted {
                true => ProviderAnswer::done("", method, Answer::json(200, &json!({ "balance": "100.00" }))),
                false => ProviderAnswer::refused("", method, refusal(shape, 2, "")),
            };
        }
        let (reply, fate, code, id) = match (admitted, &wanted) {
            (false, _) => no(shape, 2, ""),
            (true, None) => no(shape, 1, ""),
            (true, Some(wanted)) => self.send(shape, wanted, ask),
        };
        let id = id.map(|id| id.to_string());
        let wanted =
            wanted.unwrap_or(Wanted { numbers: Vec::new(), from: String::new(), text: String::new() });
        let recipient = |number: String| AttemptRecipient {
            address: Address::new(number),
            code,
            id: id.as_deref().map(Into::into),
        };
        let message = SeenMessage {
            sender: Address::new(wanted.from),
            recipients: wanted.numbers.into_iter().map(recipient).collect(),
            text: Text::new(wanted.text),
            ..SeenMessage::default()
        };
        ProviderAnswer {
            account: String::new(),
            method: method.to_owned(),
            reply,
            fate,
            message: Some(message),
        }
    }
}

impl FakeGateway {
    fn banned_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.banned_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, shape: Shape, wanted: &Wanted, ask: &Ask<'_>) -> Treated {
        if self.banned_until().is_some_and(|until| until > ask.now) {
            return (no(shape, 9, "").0, RequestFate::InBan, 9, None);
        }
        if wanted.numbers.is_empty() || wanted.numbers.len() > MOST_NUMBERS || wanted.text.is_empty() {
            return no(shape, 1, "");
        }
        if wanted.text.chars().count() > MOST_CHARACTERS {
            return no(shape, 6, "");
        }
        let action = wanted.numbers.iter().find_map(|number| {
            ask.faults.strike(number, "").or_else(|| ask.magic.then(|| magic::action(number)).flatten())
        });
        match &action {
            Some(MessageAction::Refuse { code, description }) => return no(shape, *code, description),
            Some(MessageAction::Throttle { retry_after }) => {
                *self.banned_until() = ask.now.checked_add(Duration::from_secs(*retry_after));
                let answer = refusal(shape, 9, "").retry_after(*retry_after);
                return (Reply::say(answer), RequestFate::Refused(9), 9, None);
            }
            Some(action) => {
                if let Some((reply, fate)) = action.instead() {
                    let code = if let RequestFate::Refused(status @ 300..) = fate { status } else { 0 };
                    return (reply, fate, code, None);
                }
            }
            None => {}
        }
        if !wanted.numbers.iter().all(|number| is_number(number)) {
            return no(shape, 7, "");
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = match shape {
            Shape::Form => Answer::json(200, &json!({ "id": id, "cnt": wanted.numbers.len() })),
            Shape::Json => Answer::json(201, &json!({ "id": id.to_string(), "status": "queued" })),
        };
        let (reply, fate) = MessageAction::deliver(action.as_ref(), answer);
        (reply, fate, 200, Some(id))
    }
}

fn of_form(form: &Form) -> Option<Wanted> {
    let own = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let numbers = form.get("phones")?.split([',', ';']).map(|number| number.trim().to_owned());
    Some(Wanted { numbers: numbers.take(MOST_NUMBERS + 1).collect(), from: own("sender"), text: own("mes") })
}

fn of_json(body: &[u8]) -> Option<Wanted> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let own = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Some(Wanted { numbers: vec![value["to"].as_str()?.to_owned()], from: own("from"), text: own("text") })
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (6..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The answer, its fate, the code for each recipient, and the message id.
type Treated = (Reply, RequestFate, u16, Option<u64>);

fn no(shape: Shape, code: u16, description: &str) -> Treated {
    (Reply::say(refusal(shape, code, description)), RequestFate::Refused(code), code, None)
}

/// An error, with the codes SMSC gives; the JSON shape has a status and a name for each.
fn refusal(shape: Shape, code: u16, description: &str) -> Answer {
    let (status, name, words) = match code {
        1 => (400, "invalid_parameters", "invalid parameters"),
        2 => (401, "unauthorized", "authorise error"),
        3 => (402, "no_credit", "no money"),
        4 => (403, "blocked", "IP address is blocked"),
        5 => (400, "invalid_date", "invalid date"),
        6 => (403, "forbidden_message", "message is denied"),
        7 => (422, "invalid_number", "invalid number"),
        8 => (422, "unreachable", "message to this number can not be delivered"),
        9 => (429, "too_many_requests", "duplicate request, wait a minute"),
        _ => (400, "error", "error"),
    };
    let words = if description.is_empty() { words } else { description };
    match shape {
        Shape::Form => Answer::json(200, &json!({ "error": words, "error_code": code })),
        Shape::Json => Answer::json(status, &json!({ "error": { "code": name, "message": words } })),
    }
}
