//! Any provider with a plain HTTP interface: the settings describe the requests and how to read the responses; the
//! response rules add the rest. Such a provider can't be asked about the outcome of a message.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod receipts;
mod response_parser;
mod template;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use posthaste_courier::http_request::{self, HttpResponse, HttpResult, exchange};
use posthaste_courier::response_rules::{ProviderResponse, RulesTable};
use posthaste_courier::{Capabilities, FeedbackSink, Outcome, TransportStartError};
use posthaste_model::segments::{self, Counted};
use posthaste_model::{Channel, Reason};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::provider::{Message, Provider};
use crate::response_rules::{self, SmsRules};
use crate::sender_health::SenderHealth;
use crate::settings::{BadSetting, BodyFormat, GatewaySettings as Section, Settings};
use receipts::Receipts;
use response_parser::ResponseParser;
use template::{Body, Name, Pairs, Template, Values};

/// The embedded response rules.
const ANSWERS: RulesTable = response_rules::table(include_str!("response_rules.toml"));
/// Timeout of the credentials check.
const CHECK_WITHIN: Duration = Duration::from_secs(25);
/// The name of the provider in messages to people.
const WHO: &str = "the gateway";

/// A gateway.
pub(crate) struct GatewayProvider {
    client: Client,
    method: Method,
    url: Address,
    headers: Vec<(HeaderName, Template)>,
    body: Body,
    from: String,
    secret: SecretString,
    judge: ResponseParser,
    answers: SmsRules,
    check: Option<Address>,
    receipts: Option<Arc<Receipts>>,
    feedback: OnceLock<Arc<dyn FeedbackSink>>,
    sender: Arc<SenderHealth>,
}

/// A URL, and its query.
struct Address {
    base: Url,
    query: Pairs,
}

impl GatewayProvider {
    /// Opens no connection.
    ///
    /// # Errors
    /// Names the setting to change, or what is wrong with the response rules.
    pub(crate) fn new(
        settings: &Settings,
        channel: &Channel,
        sender: Arc<SenderHealth>,
    ) -> Result<Self, TransportStartError> {
        let (sms, section) = (&settings.sms, &settings.gateway);
        let receipts = Receipts::read(settings, channel, &sender)?.map(Arc::new);
        let answers = response_rules::load(&sms.response_rules_file, &ANSWERS)?;
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
            judge: ResponseParser::read(section)?,
            answers,
            check,
            receipts,
            feedback: OnceLock::new(),
            sender,
        };
        gateway.has_what_it_names(section)?;
        Ok(gateway)
    }

    /// Checks that everything used by a template is set.
    fn has_what_it_names(&self, section: &Section) -> Result<(), BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        let mut names = self.body.names();
        names.extend(self.url.query.names());
        names.extend(self.headers.iter().flat_map(|(_, value)| value.names()));
        if !names.contains(&Name::Text) || !(names.contains(&Name::To) || names.contains(&Name::ToDigits)) {
            return bad("gateway.body", "must contain {text} and {to} or {to_digits}, if not in gateway.url");
        }
        if self.method == Method::GET && section.format != BodyFormat::None && !section.body.is_empty() {
            return bad("gateway.body", "must be empty for GET: set gateway.format to \"none\"");
        }
        names.extend(self.check.iter().flat_map(|check| check.query.names()));
        for (name, missing, key) in [
            (Name::Secret, self.secret.expose_secret().is_empty(), "gateway.secret"),
            (Name::From, self.from.is_empty(), "gateway.from"),
            (Name::Callback, self.receipts.is_none(), "gateway.callback_key"),
        ] {
            if missing && names.contains(&name) {
                return bad(key, "is missing, but gateway.url, gateway.headers or gateway.body uses it");
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

    /// A request; `None` if a value is not valid in a header.
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

    fn refused(&self, answer: &HttpResponse, code: Option<&str>, message: Message<'_>) -> Outcome {
        let response = ProviderResponse::http(answer, code);
        let found = self.answers.classify(&response);
        if found.alarm && message.is_news() {
            let (order, code) = (&message.envelope.order_id, response.label());
            tracing::error!(
                event = "message.rejected",
                provider = "gateway",
                %order,
                code,
                "the gateway rejected a message; operator action required"
            );
        }
        response_rules::outcome(&found, WHO, &response, &self.sender, message.to)
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
            return Err(bad("placeholders are allowed after the ? only".to_owned()));
        }
        // Not used as a base URL: a slash at the end is part of it.
        http_request::base(base).map_err(|why| bad(why.to_string()))?;
        let base = Url::parse(base).map_err(|_| bad("is not a valid URL".to_owned()))?;
        Ok(Self { base, query: Pairs::read(key, query)? })
    }
}

fn headers(lines: &[String]) -> Result<Vec<(HeaderName, Template)>, BadSetting> {
    let bad = |why: &str| BadSetting::new("gateway.headers", why);
    let mut headers = Vec::new();
    for line in lines {
        // Reported at startup, not with the first message.
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(bad("must not contain a line end or another control character"));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("must have the form \"Name: value\""))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let name = name.map_err(|_| bad("has an invalid header name"))?;
        if matches!(
            name.as_str(),
            "host" | "content-length" | "content-type" | "transfer-encoding" | "connection"
        ) {
            return Err(bad("must not set this header: it is set automatically"));
        }
        let value = Template::read("gateway.headers", value.trim())?;
        if value.names().iter().any(|name| matches!(name, Name::Text)) {
            return Err(bad("must not contain {text}: a text may have several lines"));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

#[async_trait]
impl Provider for GatewayProvider {
    fn capabilities(&self, channel: Capabilities) -> Capabilities {
        Capabilities { receipts: self.receipts.is_some(), ..channel }
    }

    fn count(&self, text: &str) -> Counted {
        segments::count(text)
    }

    async fn send(&self, message: Message<'_>, deadline: Instant) -> Outcome {
        let values = self.values(Some(message));
        let Some(request) = self.request(self.method.clone(), &self.url, &values) else {
            return Outcome::Failed(Reason::Rejected.into());
        };
        match exchange(self.body.write(request, &values), http_request::SHORT, deadline).await {
            HttpResult::NotConnected => Outcome::NotSent { after: None, reason: Reason::ConnectionFailed },
            HttpResult::Lost(reason) => Outcome::Unknown(reason),
            HttpResult::Response(answer) => match self.judge.judge(&answer) {
                response_parser::Read::Taken => Outcome::Sent,
                response_parser::Read::Refused(code) => self.refused(&answer, code.as_deref(), message),
            },
        }
    }

    async fn check(&self) -> Result<(), String> {
        let Some(check) = &self.check else { return Ok(()) };
        let host = check.base.host_str().unwrap_or_default();
        let request = self.request(Method::GET, check, &self.values(None));
        let request =
            request.ok_or_else(|| "gateway.headers: a value is not valid in a header".to_owned())?;
        let answer = match exchange(request, http_request::SHORT, Instant::now() + CHECK_WITHIN).await {
            HttpResult::Response(answer) => answer,
            HttpResult::NotConnected | HttpResult::Lost(_) => {
                return Err(format!("{host} can't be reached or does not respond"));
            }
        };
        let code = self.judge.code(&answer);
        if code.is_none() && (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(format!(
            "{host} rejected the request to gateway.check_url ({})",
            <ProviderResponse>::http(&answer, code.as_deref()).label()
        ))
    }

    fn unchecked(&self) -> Option<String> {
        let why =
            "gateway.check_url is empty; set a URL that tests the credentials, such as one for the balance";
        self.check.is_none().then(|| why.to_owned())
    }

    fn open(&self, feedback: Arc<dyn FeedbackSink>) -> Router {
        match &self.receipts {
            Some(receipts) => {
                let feedback = Arc::clone(self.feedback.get_or_init(|| feedback));
                receipts::routes(Arc::clone(receipts), feedback)
            }
            None => Router::new(),
        }
    }
}
