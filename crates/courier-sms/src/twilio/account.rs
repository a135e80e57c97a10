//! The account: its credentials, its URLs, and its check. The credentials are used in requests only.

use std::time::Duration;

use posthaste_courier::http_request::{self, HttpResult, exchange};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use crate::settings::{BadSetting, TwilioSettings as Section};

/// Timeout of the account check.
const CHECK_WITHIN: Duration = Duration::from_secs(25);

/// A Twilio account.
pub(super) struct Account {
    client: Client,
    base: Url,
    sid: String,
    user: String,
    password: SecretString,
    /// Whether the account's own token is used, not an API key.
    own: bool,
    /// The account's token, if an API key is used for sending and callbacks are signed with the token.
    signing: Option<SecretString>,
}

#[derive(Deserialize)]
struct AccountStatus {
    sid: Option<String>,
    status: Option<String>,
}

impl Account {
    /// An account for sending; `hears`: it also receives callbacks.
    pub(super) fn new(settings: &Section, client: Client, hears: bool) -> Result<Self, BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        if !is_sid("AC", &settings.account_sid) {
            return bad("twilio.account_sid", "must be AC and 32 hexadecimal digits");
        }
        let (key, secret) = (&settings.api_key_sid, &settings.api_key_secret);
        let own = key.is_empty();
        if own && !secret.expose_secret().is_empty() {
            return bad("twilio.api_key_sid", "is missing, but twilio.api_key_secret is set");
        }
        if !own && !is_sid("SK", key) {
            return bad("twilio.api_key_sid", "must be SK and 32 hexadecimal digits");
        }
        let (user, password, setting) = match own {
            true => (&settings.account_sid, &settings.auth_token, "twilio.auth_token"),
            false => (key, secret, "twilio.api_key_secret"),
        };
        if !is_secret(password) {
            let why = if password.expose_secret().is_empty() {
                "is missing: name the file that contains it in the setting of this name with _file appended"
            } else {
                "must be 16 to 128 letters and digits without spaces"
            };
            return bad(setting, why);
        }
        let base = http_request::base(&settings.api_url);
        let base = base.map_err(|why| BadSetting::new("twilio.api_url", why.to_string()))?;
        let (sid, user, password) = (settings.account_sid.clone(), user.clone(), password.clone());
        let signing = (hears && !own).then(|| settings.auth_token.clone());
        Ok(Self { client, base, sid, user, password, own, signing })
    }

    /// The path of a resource of the account.
    pub(super) fn path(&self, of: &str) -> String {
        format!("/2010-04-01/Accounts/{}{of}", self.sid)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.sign(self.client.post(self.url(path)))
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.sign(self.client.get(self.url(path)))
    }

    fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, Some(self.password.expose_secret()))
    }

    /// Checks all credentials and the account. `Err` says what to fix.
    pub(super) async fn check(&self) -> Result<(), String> {
        let deadline = Instant::now() + CHECK_WITHIN;
        let account = self.path(".json");
        let sender = format!("the credentials of {}", self.user);
        if self.own {
            let reported = self.look(self.get(&account), &sender, deadline).await?;
            return self.works(reported);
        }
        // An API key may not be allowed to read the account itself.
        let list = self.path("/Messages.json?PageSize=1");
        self.look(self.get(&list), &sender, deadline).await?;
        let Some(token) = &self.signing else { return Ok(()) };
        let request = self.client.get(self.url(&account)).basic_auth(&self.sid, Some(token.expose_secret()));
        let signer = "twilio.auth_token, which signs receipts and replies";
        self.works(self.look(request, signer, deadline).await?)
    }

    /// Twilio's response to a request with these credentials; `None` if Twilio is reachable but busy.
    async fn look(
        &self,
        request: RequestBuilder,
        credential: &str,
        deadline: Instant,
    ) -> Result<Option<AccountStatus>, String> {
        let host = self.base.host_str().unwrap_or_default();
        let answer = match exchange(request, http_request::SHORT, deadline).await {
            HttpResult::Response(answer) => answer,
            HttpResult::NotConnected | HttpResult::Lost(_) => {
                return Err(format!("{host} can't be reached or does not respond"));
            }
        };
        match answer.status {
            200..300 => {}
            401 | 403 => return Err(format!("{host} rejected {credential}")),
            404 => return Err(format!("{host} has no account {}", self.sid)),
            429 => return Ok(None),
            status => return Err(format!("{host} responded with HTTP {status}")),
        }
        let reported = serde_json::from_slice(&answer.body).ok();
        reported.map(Some).ok_or_else(|| format!("{host} did not respond like Twilio; check twilio.api_url"))
    }

    /// Checks that a response is about our account, and that the account is active.
    fn works(&self, reported: Option<AccountStatus>) -> Result<(), String> {
        let (host, sid) = (self.base.host_str().unwrap_or_default(), &self.sid);
        match reported {
            None => Ok(()),
            Some(AccountStatus { status: Some(status), .. })
                if matches!(status.as_str(), "suspended" | "closed") =>
            {
                Err(format!("{host} reports that the account {sid} is {status}"))
            }
            Some(AccountStatus { sid: Some(reported), .. }) if reported == *sid => Ok(()),
            Some(_) => Err(format!("{host} responded for another account than {sid}")),
        }
    }
}

/// Whether a text is a Twilio SID with this prefix.
pub(super) fn is_sid(begin: &str, text: &str) -> bool {
    text.strip_prefix(begin)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether this can be a token or the secret of an API key.
pub(super) fn is_secret(secret: &SecretString) -> bool {
    let secret = secret.expose_secret();
    (16..=128).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
