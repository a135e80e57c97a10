//! The Bot API over HTTP: one bot, its requests, and what became of them. The token is in every URL, so no URL and no error of the
//! HTTP client leaves this file.

use std::time::Duration;

use posthaste_courier::exchange::{self, BadWay, Ended};
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use serde::Serialize;
use teloxide::RequestError;
use teloxide::payloads::{GetUpdates, SendMessage};
use teloxide::prelude::Requester;
use tokio::time::{Instant, timeout};

use crate::settings::{BadSetting, Telegram};
use crate::token::Token;

/// How long the look at a token may take.
const CHECK_WITHIN: Duration = Duration::from_secs(25);

/// One bot.
#[derive(Clone)]
pub(crate) struct Bot {
    token: Token,
    api: Url,
    send: Url,
    updates: Url,
    client: Client,
}

/// The client all bots share, and where the Bot API is.
///
/// # Errors
/// The setting to change.
pub(crate) fn way(settings: &Telegram) -> Result<(Client, Url), BadSetting> {
    let bad = |bad: BadWay| match bad {
        BadWay::Proxy => BadSetting::new("telegram.proxy", bad.to_string()),
        BadWay::Tls | BadWay::Address(_) => BadSetting::new("telegram.api_url", bad.to_string()),
    };
    let client = exchange::client(settings.connect_within.get(), settings.proxy.expose_secret());
    Ok((client.map_err(bad)?, exchange::base(&settings.api_url).map_err(bad)?))
}

impl Bot {
    pub(crate) fn new(token: Token, api: &Url, client: &Client) -> Result<Self, BadSetting> {
        let at = |method: &str| {
            let mut at = api.clone();
            at.path_segments_mut()
                .map_err(|()| BadSetting::new("telegram.api_url", "can't be the base of an address"))?
                .pop_if_empty()
                .extend([format!("bot{}", token.expose()).as_str(), method]);
            Ok(at)
        };
        let (send, updates) = (at("sendMessage")?, at("getUpdates")?);
        Ok(Self { token, api: api.clone(), send, updates, client: client.clone() })
    }

    /// The bot's own number.
    pub(crate) fn number(&self) -> u64 {
        self.token.bot()
    }

    /// Sends one message. The call is over by `deadline`.
    pub(crate) async fn send(&self, message: &SendMessage, deadline: Instant) -> Ended {
        self.ask(&self.send, message, exchange::SHORT, deadline).await
    }

    /// Asks for what has come in. The call is over by `deadline`.
    pub(crate) async fn updates(&self, since: &GetUpdates, deadline: Instant) -> Ended {
        self.ask(&self.updates, since, exchange::LONG, deadline).await
    }

    async fn ask(&self, at: &Url, what: &impl Serialize, most: usize, deadline: Instant) -> Ended {
        exchange::exchange(self.client.post(at.clone()).json(what), most, deadline).await
    }

    /// Whether the token is good. `Err` says in words what to mend.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let number = self.number();
        let bot = teloxide::Bot::with_client(self.token.expose(), self.client.clone())
            .set_api_url(self.api.clone());
        let host = self.api.host_str().unwrap_or_default();
        // The library's errors hold the URL: only their kind is told.
        match timeout(CHECK_WITHIN, bot.get_me()).await {
            Ok(Ok(me)) if me.id.0 == number => Ok(()),
            Ok(Ok(_)) => Err(format!("{host} says that the token of bot {number} is another bot's")),
            Ok(Err(RequestError::Api(_))) => Err(format!("{host} refuses the token of bot {number}")),
            Ok(Err(RequestError::RetryAfter(_))) => Ok(()),
            Ok(Err(RequestError::Network(_) | RequestError::Io(_))) | Err(_) => {
                Err(format!("{host} can't be reached, or does not answer (bot {number})"))
            }
            Ok(Err(_)) => Err(format!("{host} answers what is not of the Bot API (bot {number})")),
        }
    }
}
