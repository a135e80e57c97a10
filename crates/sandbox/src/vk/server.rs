//! The API: tokens, the rate, and the methods.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::call::{self, Call};
use super::errors::{self, Failure};
use super::execute::{self, Program};
use super::memory::{Memory, TooMany};
use super::send::{self, Sent, Then};
use super::settings::Settings;
use crate::fake_provider::{
    self, Answer, Ask, Common, FakeServerError, Form, MessageAction, Opening, Provider, ProviderAnswer,
    Reply, RequestFate, SeenMessage, bearer, is_known,
};
use crate::record::Record;

/// The fake VK API, listening.
pub type VkServer = fake_provider::FakeServer<FakeVk>;

/// State of the API.
#[derive(Debug)]
pub struct FakeVk {
    tokens: Vec<SecretString>,
    group: u64,
    permissions: Vec<String>,
    per_second: usize,
    pub(super) random_for: Duration,
    /// The marks of tokens that are refused.
    revoked: Mutex<BTreeSet<String>>,
    memory: Mutex<Memory>,
}

impl VkServer {
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
        let Settings { listen, faults, magic, reply_after, bounds, .. } = settings;
        let common = Common { listen, faults, magic, reply_after, bounds };
        Self::open(Opening { common, record }, |_| FakeVk {
            tokens: settings.tokens,
            group: settings.group,
            permissions: settings.permissions,
            per_second: settings.per_second,
            random_for: settings.random_for,
            revoked: Mutex::default(),
            memory: Mutex::new(Memory::new()),
        })
    }

    /// From now on, refuses this token or accepts it again.
    pub fn revoke(&self, token: &str, revoked: bool) {
        let mut all = self.shared.provider.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        if revoked {
            all.insert(mark(token));
        } else {
            all.remove(&mark(token));
        }
    }
}

/// A short mark that identifies a token without revealing it.
pub(super) fn mark(token: &str) -> String {
    Sha1::digest(token).iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Provider for FakeVk {
    const NAME: &'static str = "vk";
    const CHANNEL: &'static str = "vk";

    fn knows(action: &MessageAction) -> bool {
        !matches!(
            action,
            MessageAction::Migrate { .. }
                | MessageAction::Strange
                | MessageAction::End { .. }
                | MessageAction::Callbacks(_)
        )
    }

    fn treat(&self, ask: &Ask<'_>) -> ProviderAnswer {
        let whole = ask.whole;
        let Some(method) = whole.place().strip_prefix("/method/") else {
            return ProviderAnswer::refused("", "", Answer::html(404));
        };
        if !matches!(whole.verb.as_str(), "GET" | "POST") {
            return ProviderAnswer::refused("", method, Answer::html(405));
        }
        let form = Form::of(whole);
        let token = bearer(whole).or_else(|| form.get("access_token"));
        let mark = token.map(mark).unwrap_or_default();
        let wants = Wants::of(method, &form);
        let failure = match self.admit(token, &mark, &form, ask) {
            Ok(()) => match &wants {
                Wants::Send(Ok(_)) | Wants::Other(None) => None,
                Wants::Send(Err(failure)) | Wants::Other(Some(failure)) => {
                    Some((failure.clone(), RequestFate::Refused(failure.code)))
                }
            },
            Err(refused) => Some(refused),
        };
        let calls = wants.calls();
        let with = |provider_answer: ProviderAnswer, message: SeenMessage| match &wants {
            Wants::Send(_) => provider_answer.with(message),
            Wants::Other(_) => provider_answer,
        };
        if let Some((failure, fate)) = failure {
            let answer = errors::refusal(&failure, method, &form);
            let provider_answer = ProviderAnswer::plain(&mark, method, answer, fate);
            return with(provider_answer, send::refused(&calls, &mark, failure.code));
        }
        let Wants::Send(Ok(program)) = &wants else {
            return ProviderAnswer::done(&mark, method, errors::response(&self.tell(method)));
        };
        let Sent { message, then } = self.send(&calls, &mark, ask);
        let (reply, fate) = match then {
            Then::Instead(reply, fate) => (reply, fate),
            Then::Fail(failure) => {
                (Reply::say(errors::refusal(&failure, method, &form)), RequestFate::Refused(failure.code))
            }
            Then::Each(values, delivery) => {
                let answer = match method {
                    "execute" => Ok(executed(program, values)),
                    _ => values
                        .into_iter()
                        .next()
                        .unwrap_or(Ok(Value::Null))
                        .map(|value| errors::response(&value)),
                };
                match answer {
                    Ok(answer) => MessageAction::deliver(delivery.as_ref(), answer),
                    Err(failure) => (
                        Reply::say(errors::refusal(&failure, method, &form)),
                        RequestFate::Refused(failure.code),
                    ),
                }
            }
        };
        with(
            ProviderAnswer { account: mark.clone(), method: method.to_owned(), reply, fate, message: None },
            message,
        )
    }
}

/// The content of a request.
enum Wants {
    /// Messages: a program; for `messages.send` one with a single call.
    Send(Result<Program, Failure>),
    /// Something else, or an error.
    Other(Option<Failure>),
}

impl Wants {
    fn of(method: &str, form: &Form) -> Self {
        match method {
            "messages.send" => {
                let call = execute::Inner { method: method.to_owned(), parameters: call::parameters(form) };
                Self::Send(Ok(Program { calls: vec![call], is_list: false }))
            }
            "execute" => Self::Send(match form.get("code") {
                Some(code) => execute::compile(code),
                None => Err(Failure::because(100, "code is undefined")),
            }),
            "groups.getById" | "groups.getTokenPermissions" => Self::Other(None),
            _ => Self::Other(Some(Failure::of(3))),
        }
    }

    /// The calls that send.
    fn calls(&self) -> Vec<Call> {
        let Self::Send(Ok(program)) = self else { return Vec::new() };
        let sends = program.calls.iter().filter(|call| call.method == "messages.send");
        sends.map(|call| Call::of(&call.parameters)).collect()
    }
}

/// The answer to `execute`: the result of each call, `false` and an entry for those that failed.
fn executed(program: &Program, sent: Vec<Result<Value, Failure>>) -> Answer {
    let mut sent = sent.into_iter();
    let (mut values, mut wrong) = (Vec::new(), Vec::new());
    for call in &program.calls {
        let value = match call.method.as_str() {
            "messages.send" => sent.next().unwrap_or(Ok(Value::Null)),
            _ => Err(Failure::of(3)),
        };
        values.push(value.unwrap_or_else(|failure| {
            wrong.push(json!({
                "method": call.method, "error_code": failure.code, "error_msg": failure.words,
            }));
            Value::Bool(false)
        }));
    }
    let value = if program.is_list { Value::Array(values) } else { values.pop().unwrap_or(Value::Null) };
    let mut body = json!({ "response": value });
    if !wrong.is_empty() {
        body["execute_errors"] = Value::Array(wrong);
    }
    Answer::json(200, &body)
}

impl FakeVk {
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is admitted.
    fn admit(
        &self,
        token: Option<&str>,
        mark: &str,
        form: &Form,
        ask: &Ask<'_>,
    ) -> Result<(), (Failure, RequestFate)> {
        let refuse = |failure: Failure| {
            let code = failure.code;
            Err((failure, RequestFate::Refused(code)))
        };
        if form.get("v").is_none() {
            return refuse(Failure::because(8, "v is required"));
        }
        let Some(token) = token else { return refuse(Failure::because(5, "no access_token passed.")) };
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(mark);
        if revoked || !is_known(&self.tokens, token) {
            return refuse(Failure::because(5, "invalid access_token (4)."));
        }
        match self.memory().ask(mark, self.per_second, ask.now) {
            Ok(()) => Ok(()),
            Err(TooMany::InSecond) => refuse(Failure::of(6)),
            Err(TooMany::InBan) => Err((Failure::of(6), RequestFate::InBan)),
        }
    }

    /// The methods that only return information.
    fn tell(&self, method: &str) -> Value {
        if method == "groups.getById" {
            let group = json!({
                "id": self.group, "name": "Sandbox", "screen_name": format!("club{}", self.group),
                "type": "group", "is_closed": 0,
            });
            return json!({ "groups": [group], "profiles": [] });
        }
        let setting = |name: &str| match name {
            "stories" => 1,
            "photos" => 4,
            "app_widget" => 64,
            "messages" => 4_096,
            "docs" => 131_072,
            "manage" => 262_144,
            _ => 0_u32,
        };
        let permissions =
            self.permissions.iter().map(|name| json!({ "name": name, "setting": setting(name) }));
        let mask: u32 = self.permissions.iter().map(|name| setting(name)).sum();
        json!({ "mask": mask, "permissions": permissions.collect::<Vec<_>>() })
    }
}
