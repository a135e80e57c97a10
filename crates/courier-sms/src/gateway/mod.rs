//! Any provider with a plain HTTP interface: what a request looks like and what an answer means stand in the settings, and a
//! table of answers says the rest. It can't be asked what became of a message.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod judge;
mod receipts;
mod template;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use posthaste_courier::exchange::{self, Answer, Ended, exchange};
use posthaste_courier::{Abilities, Desk, Outcome};
use posthaste_model::segments::{self, Counted};
use posthaste_model::{Channel, Reason};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::answers::{Answers, Said, named};
use crate::provider::{Message, Provider};

use crate::sender::Sender;
use crate::settings::{BadSetting, Format, Gateway as Section, Settings};
use crate::transport::Unusable;
use judge::Judge;
use receipts::Receipts;
use template::{Body, Name, Pairs, Template, Values};

/// The table inside the program.
const ANSWERS: &str = include_str!("answers.toml");
/// How long the look at the credential may take.
const CHECK_WITHIN: Duration = Duration::from_secs(25);
/// How the provider is called in words for people.
const WHO: &str = "the gateway";

/// A gateway.
pub(crate) struct Gateway {
    client: Client,
    method: Method,
    url: Address,
    headers: Vec<(HeaderName, Template)>,
    body: Body,
    from: String,
    secret: SecretString,
    judge: Judge,
    answers: Answers,
    check: Option<Address>,
    receipts: Option<Arc<Receipts>>,
    desk: OnceLock<Arc<dyn Desk>>,
    sender: Arc<Sender>,
}

/// An address, and what stands after its ?.
struct Address {
    base: Url,
    query: Pairs,
}

impl Gateway {
    /// Opens nothing.
    ///
    /// # Errors
    /// The setting to change, or what is wrong with the table of answers.
    pub(crate) fn new(settings: &Settings, channel: &Channel, sender: Arc<Sender>) -> Result<Self, Unusable> {
        let (sms, section) = (&settings.sms, &settings.gateway);
        let receipts = Receipts::read(settings, channel, &sender)?.map(Arc::new);
        let answers = Answers::load(&sms.answers_file, ANSWERS)?;
        let method = match section.method.as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "GET" => Method::GET,
            _ => return Err(BadSetting::new("gateway.method", "must be POST, PUT or GET").into()),
        };
        let check = match section.check_url.as_str() {
            "" => None,
            url => Some(Address::read("gateway.check_url", url)?),
        };
        let gateway = Self {
            client: sms.client("gateway.url")?,
            method,
            url: Address::read("gateway.url", &section.url)?,
            headers: headers(&section.headers)?,
            body: Body::read(section.format, &section.body)?,
            from: section.from.clone(),
            secret: section.secret.clone(),
            judge: Judge::read(section)?,
            answers,
            check,
            receipts,
            desk: OnceLock::new(),
            sender,
        };
        gateway.has_what_it_names(section)?;
        Ok(gateway)
    }

    /// Whether everything a template names is there.
    fn has_what_it_names(&self, section: &Section) -> Result<(), BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        let mut names = self.body.names();
        names.extend(self.url.query.names());
        names.extend(self.headers.iter().flat_map(|(_, value)| value.names()));
        if !names.contains(&Name::Text) || !(names.contains(&Name::To) || names.contains(&Name::ToDigits)) {
            return bad("gateway.body", "neither it nor gateway.url says where {text} and {to} go");
        }
        if self.method == Method::GET && section.format != Format::None && !section.body.is_empty() {
            return bad("gateway.body", "a GET has none: set gateway.format to \"none\"");
        }
        names.extend(self.check.iter().flat_map(|check| check.query.names()));
        for (name, missing, key) in [
            (Name::Secret, self.secret.expose_secret().is_empty(), "gateway.secret"),
            (Name::From, self.from.is_empty(), "gateway.from"),
            (Name::Callback, self.receipts.is_none(), "gateway.callback_key"),
        ] {
            if missing && names.contains(&name) {
                return bad(key, "is missing: gateway.url, gateway.headers or gateway.body names it");
            }
        }
        Ok(())
    }

    fn values<'a>(&'a self, message: Option<Message<'a>>) -> Values<'a> {
        let mut values =
            Values { from: &self.from, secret: self.secret.expose_secret(), ..Values::default() };
        if let Some(Message { envelope, to, text, counted, .. }) = message {
            let attempt = envelope.id();
            values.callback =
                self.receipts.as_ref().map(|receipts| receipts.address(&attempt)).unwrap_or_default();
            values.attempt = attempt.to_string();
            (values.to, values.text) = (to, text);
            (values.segments, values.encoding) = (counted.segments.to_string(), counted.encoding.word());
        }
        values
    }

    /// A request; `None` when a value can't stand in a header.
    fn request(&self, method: Method, to: &Address, values: &Values<'_>) -> Option<RequestBuilder> {
        let mut url = to.base.clone();
        if !to.query.is_empty() {
            url.set_query(Some(&to.query.fill(values)));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let mut value = HeaderValue::from_str(&value.fill(values)).ok()?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Some(self.client.request(method, url).headers(headers))
    }

    fn refused(&self, answer: &Answer, code: Option<&str>, message: Message<'_>) -> Outcome {
        let said = Said::answer(answer, code);
        let verdict = self.answers.judge(said);
        if verdict.alarm && message.is_news() {
            let (order, code) = (&message.envelope.suffix, named(said));
            tracing::error!(%order, code, "the gateway refuses a message for what somebody has to look at");
        }
        verdict.outcome(WHO, said, &self.sender, message.to)
    }
}

impl Address {
    fn read(key: &'static str, text: &str) -> Result<Self, BadSetting> {
        let bad = |why: String| BadSetting::new(key, why);
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        if base.is_empty() {
            return Err(bad("is missing".to_owned()));
        }
        if base.contains(['{', '}']) {
            return Err(bad("names may stand after the ? only".to_owned()));
        }
        // Not as the base of others: a slash at the end belongs to it.
        exchange::base(base).map_err(|why| bad(why.to_string()))?;
        let base = Url::parse(base).map_err(|_| bad("is no address".to_owned()))?;
        Ok(Self { base, query: Pairs::read(key, query)? })
    }
}

fn headers(lines: &[String]) -> Result<Vec<(HeaderName, Template)>, BadSetting> {
    let bad = |why: &str| BadSetting::new("gateway.headers", why);
    let mut headers = Vec::new();
    for line in lines {
        // Told at the start, not at the first message.
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(bad("holds a line end or another control character"));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("must be like \"Name: value\""))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let name = name.map_err(|_| bad("has a name that is none of a header"))?;
        if matches!(
            name.as_str(),
            "host" | "content-length" | "content-type" | "transfer-encoding" | "connection"
        ) {
            return Err(bad("sets a header that is not for settings"));
        }
        let value = Template::read("gateway.headers", value.trim())?;
        if value.names().iter().any(|name| matches!(name, Name::Text)) {
            return Err(bad("can't hold {text}: a text may have several lines"));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

#[async_trait]
impl Provider for Gateway {
    fn abilities(&self, channel: Abilities) -> Abilities {
        Abilities { receipts: self.receipts.is_some(), ..channel }
    }

    fn count(&self, text: &str) -> Counted {
        segments::count(text)
    }

    async fn send(&self, message: Message<'_>, deadline: Instant) -> Outcome {
        let values = self.values(Some(message));
        let Some(request) = self.request(self.method.clone(), &self.url, &values) else {
            return Outcome::Rejected(Reason::Rejected);
        };
        match exchange(self.body.write(request, &values), exchange::SHORT, deadline).await {
            Ended::NotConnected => Outcome::NotSent { after: None, reason: Reason::NotConnected },
            Ended::Lost(reason) => Outcome::Unknown(reason),
            Ended::Answered(answer) => match self.judge.judge(&answer) {
                judge::Read::Taken => Outcome::Accepted,
                judge::Read::Refused(code) => self.refused(&answer, code.as_deref(), message),
            },
        }
    }

    async fn check(&self) -> Result<(), String> {
        let Some(check) = &self.check else { return Ok(()) };
        let host = check.base.host_str().unwrap_or_default();
        let request = self.request(Method::GET, check, &self.values(None));
        let request = request.ok_or_else(|| "gateway.headers: a value can't stand in a header".to_owned())?;
        let answer = match exchange(request, exchange::SHORT, Instant::now() + CHECK_WITHIN).await {
            Ended::Answered(answer) => answer,
            Ended::NotConnected | Ended::Lost(_) => {
                return Err(format!("{host} can't be reached, or does not answer"));
            }
        };
        let code = self.judge.code(&answer);
        if code.is_none() && (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(format!(
            "{host} refuses what gateway.check_url asks ({})",
            named(Said::answer(&answer, code.as_deref()))
        ))
    }

    fn unchecked(&self) -> Option<String> {
        let why = "gateway.check_url is empty: give an address that tells whether the credential is good, such as one for the balance";
        self.check.is_none().then(|| why.to_owned())
    }

    fn open(&self, desk: Arc<dyn Desk>) -> Router {
        match &self.receipts {
            Some(receipts) => {
                let desk = Arc::clone(self.desk.get_or_init(|| desk));
                receipts::routes(Arc::clone(receipts), desk)
            }
            None => Router::new(),
        }
    }
}
