//! The gateway: its two shapes, one set of answers.

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
use crate::record::{Recipient, Record};
use crate::standin::{
    self, Action, Answer, Ask, Bounds, Common, Fate, Fault, Form, Message, Opening, Provider, Reply,
    StartError, Verdict, any_port, bearer,
};

/// Recipients of one request, and characters of a text, at most.
const MOST_NUMBERS: usize = 100;
const MOST_CHARACTERS: usize = 1_600;

/// Settings of the stand-in. [`Settings::default`] listens on loopback, on a port the system chooses, and takes anybody.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it takes as `psw`, `apikey` or Bearer; with none, anything.
    pub secrets: Vec<SecretString>,
    /// Faults from the start.
    pub faults: Vec<Fault>,
    /// Whether magic numbers have their way.
    pub magic: bool,
    /// How long it waits before each answer, as a far server would.
    #[serde(with = "humantime_serde")]
    pub reply_after: Duration,
    /// How much it holds.
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

/// The stand-in, listening.
pub type Server = standin::Server<Gateway>;

/// What the gateway knows.
#[derive(Debug)]
pub struct Gateway {
    secrets: Vec<SecretString>,
    revoked: AtomicBool,
    last: AtomicU64,
    banned_until: Mutex<Option<Instant>>,
}

impl Server {
    /// Starts it, and returns when it listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, or a fault makes no sense.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with(settings, None)
    }

    pub(crate) fn start_with(settings: Settings, record: Option<Arc<Record>>) -> Result<Self, StartError> {
        let Settings { listen, secrets, faults, magic, reply_after, bounds } = settings;
        let common = Common { listen, faults, magic, reply_after, bounds };
        Self::open(Opening { common, record }, |_| Gateway {
            secrets,
            revoked: AtomicBool::new(false),
            last: AtomicU64::new(0),
            banned_until: Mutex::default(),
        })
    }

    /// From now on all credentials are refused, or taken again.
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

/// What a request is to send.
struct Wanted {
    numbers: Vec<String>,
    from: String,
    text: String,
}

impl Provider for Gateway {
    const NAME: &'static str = "gateway";
    const CHANNEL: &'static str = "sms";

    fn knows(action: &Action) -> bool {
        !matches!(
            action,
            Action::RefuseCall { .. }
                | Action::RefuseRecipient { .. }
                | Action::Migrate { .. }
                | Action::Strange
                | Action::End { .. }
                | Action::Callbacks(_)
        )
    }

    fn treat(&self, ask: &Ask<'_>) -> Verdict {
        let whole = ask.whole;
        let (shape, method) = match (whole.verb.as_str(), whole.place()) {
            ("GET" | "POST", "/sys/send.php") => (Shape::Form, "send"),
            ("POST", "/v1/messages") => (Shape::Json, "send"),
            ("GET" | "POST", "/sys/balance.php") => (Shape::Form, "balance"),
            ("GET", "/v1/balance") => (Shape::Json, "balance"),
            _ => return Verdict::refused("", "", Answer::html(404)),
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
                true => Verdict::done("", method, Answer::json(200, &json!({ "balance": "100.00" }))),
                false => Verdict::refused("", method, refusal(shape, 2, "")),
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
        let recipient = |number: String| Recipient {
            address: Address::new(number),
            code,
            id: id.as_deref().map(Into::into),
        };
        let message = Message {
            sender: Address::new(wanted.from),
            recipients: wanted.numbers.into_iter().map(recipient).collect(),
            text: Text::new(wanted.text),
            ..Message::default()
        };
        Verdict { account: String::new(), method: method.to_owned(), reply, fate, message: Some(message) }
    }
}

impl Gateway {
    fn banned_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.banned_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, shape: Shape, wanted: &Wanted, ask: &Ask<'_>) -> Treated {
        if self.banned_until().is_some_and(|until| until > ask.now) {
            return (no(shape, 9, "").0, Fate::InBan, 9, None);
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
            Some(Action::Refuse { code, description }) => return no(shape, *code, description),
            Some(Action::Throttle { retry_after }) => {
                *self.banned_until() = ask.now.checked_add(Duration::from_secs(*retry_after));
                let answer = refusal(shape, 9, "").retry_after(*retry_after);
                return (Reply::say(answer), Fate::Refused(9), 9, None);
            }
            Some(action) => {
                if let Some((reply, fate)) = action.instead() {
                    let code = if let Fate::Refused(status @ 300..) = fate { status } else { 0 };
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
        let (reply, fate) = Action::deliver(action.as_ref(), answer);
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

/// The answer, what became of it, the code of each recipient, and the number of the message.
type Treated = (Reply, Fate, u16, Option<u64>);

fn no(shape: Shape, code: u16, description: &str) -> Treated {
    (Reply::say(refusal(shape, code, description)), Fate::Refused(code), code, None)
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
