//! The Bot API over HTTP: one bot, its requests and their results. The token is in every URL, so no URL and no error
//! of the HTTP client leaves this file.

use std::time::Duration;

use posthaste_courier::http_request::{self, HttpResult, InvalidEndpoint};
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use serde::Serialize;
use teloxide::RequestError;
use teloxide::payloads::{GetUpdates, SendMessage};
use teloxide::prelude::Requester;
use tokio::time::{Instant, timeout};

use crate::settings::{BadSetting, TelegramSettings};
use crate::token::BotToken;

/// Time limit for checking a token.
const CHECK_WITHIN: Duration = Duration::from_secs(25);

/// One bot.
#[derive(Clone)]
pub(crate) struct Bot {
    token: BotToken,
    api: Url,
    send: Url,
    updates: Url,
    client: Client,
}

/// The HTTP client all bots share, and the address of the Bot API.
///
/// # Errors
/// The setting to change.
pub(crate) fn way(settings: &TelegramSettings) -> Result<(Client, Url), BadSetting> {
    let bad = |bad: InvalidEndpoint| match bad {
        InvalidEndpoint::Proxy => BadSetting::new("telegram.proxy", bad.to_string()),
        InvalidEndpoint::Tls | InvalidEndpoint::Address(_) => {
            BadSetting::new("telegram.api_url", bad.to_string())
        }
    };
    let client = http_request::client(settings.connect_within.get(), settings.proxy.expose_secret());
    Ok((client.map_err(bad)?, http_request::base(&settings.api_url).map_err(bad)?))
}

impl Bot {
    pub(crate) fn new(token: BotToken, api: &Url, client: &Client) -> Result<Self, BadSetting> {
        let at = |method: &str| {
            let mut at = api.clone();
            at.path_segments_mut()
                .map_err(|()| BadSetting::new("telegram.api_url", "can't be a base URL"))?
                .pop_if_empty()
                .extend([format!("bot{}", token.expose()).as_str(), method]);
            Ok(at)
        };
        let (send, updates) = (at("sendMessage")?, at("getUpdates")?);
        Ok(Self { token, api: api.clone(), send, updates, client: client.clone() })
    }

    /// The bot's id.
    pub(crate) fn number(&self) -> u64 {
        self.token.bot()
    }

    /// Sends one message. Ends by `deadline`.
    pub(crate) async fn send(&self, message: &SendMessage, deadline: Instant) -> HttpResult {
        self.ask(&self.send, message, http_request::SHORT, deadline).await
    }

    /// Requests updates. Ends by `deadline`.
    pub(crate) async fn updates(&self, since: &GetUpdates, deadline: Instant) -> HttpResult {
        self.ask(&self.updates, since, http_request::LONG, deadline).await
    }

    async fn ask(&self, at: &Url, what: &impl Serialize, most: usize, deadline: Instant) -> HttpResult {
        http_request::exchange(self.client.post(at.clone()).json(what), most, deadline).await
    }

    /// Checks the token. `Err` says what is wrong.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let number = self.number();
        let bot = teloxide::Bot::with_client(self.token.expose(), self.client.clone())
            .set_api_url(self.api.clone());
        let host = self.api.host_str().unwrap_or_default();
        // The library's errors contain the URL: report only their kind.
        match timeout(CHECK_WITHIN, bot.get_me()).await {
            Ok(Ok(me)) if me.id.0 == number => Ok(()),
            Ok(Ok(_)) => Err(format!("{host} reports that the token of bot {number} belongs to another bot")),
            Ok(Err(RequestError::Api(_))) => Err(format!("{host} refuses the token of bot {number}")),
            Ok(Err(RequestError::RetryAfter(_))) => Ok(()),
            Ok(Err(RequestError::Network(_) | RequestError::Io(_))) | Err(_) => {
                Err(format!("{host} can't be reached or does not answer (bot {number})"))
            }
            Ok(Err(_)) => {
                Err(format!("{host} does not answer as the Bot API (bot {number}); check telegram.api_url"))
            }
        }
    }
}
