//! The Bot API over HTTP: one bot, its requests, and what became of them. The token is in every URL, so no URL and no error of the
//! HTTP client leaves this file.

use std::time::Duration;

use posthaste_model::Reason;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use teloxide::RequestError;
use teloxide::payloads::SendMessage;
use teloxide::prelude::Requester;
use tokio::time::{Instant, timeout};

use crate::answers::Answer;
use crate::settings::{BadSetting, Telegram};
use crate::token::Token;

/// A larger answer is not one of the Bot API.
const MOST_BYTES: usize = 1 << 20;
/// How long the look at a token may take.
const CHECK_WITHIN: Duration = Duration::from_secs(25);

/// One bot.
pub(crate) struct Bot {
    token: Token,
    api: Url,
    send: Url,
    client: Client,
}

/// What became of a request.
pub(crate) enum Ended {
    /// A whole answer came.
    Answered(Answer),
    /// There was no connection: nothing left.
    NotConnected,
    /// Something may have left, and no whole answer came.
    Lost(Reason),
}

/// The client all bots share.
///
/// # Errors
/// The setting to change.
pub(crate) fn client(settings: &Telegram) -> Result<Client, BadSetting> {
    let builder = Client::builder()
        .connect_timeout(settings.connect_within.get())
        // A repeat or a redirection unknown to the history would be a second message.
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("posthaste/", env!("CARGO_PKG_VERSION")));
    let builder = match settings.proxy.expose_secret() {
        "" => builder,
        proxy => {
            let proxy = reqwest::Proxy::all(proxy);
            builder
                .proxy(proxy.map_err(|_| BadSetting::new("telegram.proxy", "is not the address of a proxy"))?)
        }
    };
    builder
        .build()
        .map_err(|_| BadSetting::new("telegram.api_url", "no TLS: the system's certificates can't be read"))
}

/// Where the Bot API is.
///
/// # Errors
/// The setting to change.
pub(crate) fn base(settings: &Telegram) -> Result<Url, BadSetting> {
    let bad = |why: &str| BadSetting::new("telegram.api_url", why);
    let url = Url::parse(settings.api_url.trim_end_matches('/'));
    let url = url.map_err(|_| bad("is not an address such as https://api.telegram.org"))?;
    let here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => {
            return Err(bad(
                "must be https://, for the token goes with every request; http:// only on this machine",
            ));
        }
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(bad("must hold neither a user nor anything after ? or #"));
    }
    Ok(url)
}

impl Bot {
    pub(crate) fn new(token: Token, api: &Url, client: &Client) -> Result<Self, BadSetting> {
        let mut send = api.clone();
        send.path_segments_mut()
            .map_err(|()| BadSetting::new("telegram.api_url", "can't be the base of an address"))?
            .pop_if_empty()
            .extend([format!("bot{}", token.expose()).as_str(), "sendMessage"]);
        Ok(Self { token, api: api.clone(), send, client: client.clone() })
    }

    /// The bot's own number.
    pub(crate) fn number(&self) -> u64 {
        self.token.bot()
    }

    /// Sends one message. The call is over by `deadline`.
    pub(crate) async fn send(&self, message: &SendMessage, deadline: Instant) -> Ended {
        let within = deadline.saturating_duration_since(Instant::now());
        let sending = self.client.post(self.send.clone()).timeout(within).json(message).send();
        let mut response = match sending.await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Ended::NotConnected,
            Err(error) => return Ended::Lost(lost(&error)),
        };
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER);
        let retry_after = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BYTES => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return Ended::Lost(Reason::BadAnswer),
                Ok(None) => return Ended::Answered(Answer::new(status, retry_after, &body)),
                Err(error) => return Ended::Lost(lost(&error)),
            }
        }
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

fn lost(error: &reqwest::Error) -> Reason {
    if error.is_timeout() { Reason::TimedOut } else { Reason::ConnectionLost }
}
