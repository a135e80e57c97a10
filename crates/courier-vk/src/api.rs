//! The API over HTTP. The token is a header that prints masked; no URL and no error of the HTTP client leaves this file.

use std::time::Duration;

use posthaste_courier::http_request::{self, HttpResult, InvalidEndpoint};
use posthaste_courier::response_rules::ResponseAction;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;

use crate::response_rules::{About, VkRules, api_error, other_answer};
use crate::settings::{BadSetting, VkSettings};

/// Time limit for checking a token.
pub(crate) const LOOK_WITHIN: Duration = Duration::from_secs(25);
/// The right a token must have, by name and bit.
const RIGHT: (&str, u64) = ("messages", 4096);

/// The API with its token.
pub(crate) struct Api {
    client: Client,
    execute: Url,
    permissions: Url,
    host: String,
    authorization: HeaderValue,
    version: String,
}

/// The result of checking the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// It may send.
    Good,
    /// It may not send, and why.
    Bad(String),
    /// VK is too busy to answer.
    Busy,
    /// The check failed, and why.
    CannotTell(String),
}

impl Api {
    /// The API as configured. Opens nothing.
    ///
    /// # Errors
    /// The setting to change.
    pub(crate) fn new(settings: &VkSettings) -> Result<Self, BadSetting> {
        let bad = |why: InvalidEndpoint| match why {
            InvalidEndpoint::Proxy => BadSetting::new("vk.proxy", why.to_string()),
            InvalidEndpoint::Tls | InvalidEndpoint::Address(_) => {
                BadSetting::new("vk.api_url", why.to_string())
            }
        };
        let client = http_request::client(settings.connect_within.get(), settings.proxy.expose_secret());
        let client = client.map_err(bad)?;
        let base = http_request::base(&settings.api_url).map_err(bad)?;
        let method = |name: &str| {
            let mut url = base.clone();
            let base = url.path_segments_mut();
            base.map_err(|()| BadSetting::new("vk.api_url", "can't be a base URL"))?
                .pop_if_empty()
                .extend(["method", name]);
            Ok(url)
        };
        let authorization = HeaderValue::try_from(format!("Bearer {}", settings.token.expose_secret()));
        let mut authorization = authorization.map_err(|_| BadSetting::new("vk.token", "is not a token"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            client,
            execute: method("execute")?,
            permissions: method("groups.getTokenPermissions")?,
            host: base.host_str().unwrap_or_default().to_owned(),
            authorization,
            version: settings.version.clone(),
        })
    }

    /// Runs a program. Ends by `deadline`.
    pub(crate) async fn execute(&self, program: &str, deadline: Instant) -> HttpResult {
        let form = [("v", self.version.as_str()), ("code", program)];
        self.ask(&self.execute, &form, http_request::LONG, deadline).await
    }

    async fn ask(&self, method: &Url, form: &[(&str, &str)], most: usize, deadline: Instant) -> HttpResult {
        let request = self.client.post(method.clone()).header(AUTHORIZATION, self.authorization.clone());
        http_request::exchange(request.form(form), most, deadline).await
    }

    /// Checks whether VK accepts the token and lets it send messages.
    pub(crate) async fn look_at_token(&self, answers: &VkRules, deadline: Instant) -> Token {
        let host = &self.host;
        let form = [("v", self.version.as_str())];
        let HttpResult::Response(answer) =
            self.ask(&self.permissions, &form, http_request::SHORT, deadline).await
        else {
            return Token::CannotTell(format!("{host} can't be reached or does not answer"));
        };
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let of = |name: &str| said.as_ref().and_then(|said| said.get(name));
        if let Some(code) = of("error").and_then(|error| error["error_code"].as_u64()) {
            let number = u32::try_from(code).unwrap_or(u32::MAX);
            return match answers.classify(&api_error(number, About::Request)).action {
                ResponseAction::Wait => Token::Busy,
                ResponseAction::Stop => Token::Bad(format!("{host} refuses vk.token (error {code})")),
                _ => Token::CannotTell(format!("{host} answers with error {code}")),
            };
        }
        let Some(found) = of("response").and_then(may_send) else {
            if answers.classify(&other_answer(answer.status, None)).action == ResponseAction::Wait {
                return Token::Busy;
            }
            return Token::CannotTell(format!("{host} does not answer as the VK API; check vk.api_url"));
        };
        if found { Token::Good } else { Token::Bad("vk.token lacks the right \"messages\"".to_owned()) }
    }
}

/// Whether the token has the right to send.
fn may_send(response: &Value) -> Option<bool> {
    let named = response["permissions"].as_array().map(|all| all.iter().any(|one| one["name"] == RIGHT.0));
    let masked = response["mask"].as_u64().map(|mask| mask & RIGHT.1 != 0);
    match (named, masked) {
        (None, None) => None,
        (named, masked) => Some(named.unwrap_or(false) || masked.unwrap_or(false)),
    }
}
