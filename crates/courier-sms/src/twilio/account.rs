//! The account: its credential, its addresses, and whether it works. The credential goes into requests and nowhere else.

use std::time::Duration;

use posthaste_courier::exchange::{self, Ended, exchange};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use crate::settings::{BadSetting, Twilio as Section};

/// How long the look at the account may take.
const CHECK_WITHIN: Duration = Duration::from_secs(25);

/// An account of Twilio.
pub(super) struct Account {
    client: Client,
    base: Url,
    sid: String,
    user: String,
    password: SecretString,
    /// Whether the credential is the account's own and not a key.
    own: bool,
    /// The account's token, when a key sends and what comes in is signed with the token.
    signing: Option<SecretString>,
}

#[derive(Deserialize)]
struct Told {
    sid: Option<String>,
    status: Option<String>,
}

impl Account {
    /// An account that sends, and when it `hears` is called back.
    pub(super) fn new(settings: &Section, client: Client, hears: bool) -> Result<Self, BadSetting> {
        let bad = |key, why: &str| Err(BadSetting::new(key, why));
        if !is_sid("AC", &settings.account_sid) {
            return bad("twilio.account_sid", "must be AC and 32 digits of 0-9 a-f");
        }
        let (key, secret) = (&settings.api_key_sid, &settings.api_key_secret);
        let own = key.is_empty();
        if own && !secret.expose_secret().is_empty() {
            return bad("twilio.api_key_sid", "is missing: twilio.api_key_secret is there");
        }
        if !own && !is_sid("SK", key) {
            return bad("twilio.api_key_sid", "must be SK and 32 digits of 0-9 a-f");
        }
        let (user, password, setting) = match own {
            true => (&settings.account_sid, &settings.auth_token, "twilio.auth_token"),
            false => (key, secret, "twilio.api_key_secret"),
        };
        if !is_secret(password) {
            let why = if password.expose_secret().is_empty() {
                "is missing: name its file in the key with _file at its end"
            } else {
                "must be 16 to 128 letters and digits without blanks"
            };
            return bad(setting, why);
        }
        let base = exchange::base(&settings.api_url);
        let base = base.map_err(|why| BadSetting::new("twilio.api_url", why.to_string()))?;
        let (sid, user, password) = (settings.account_sid.clone(), user.clone(), password.clone());
        let signing = (hears && !own).then(|| settings.auth_token.clone());
        Ok(Self { client, base, sid, user, password, own, signing })
    }

    /// The path of something of the account.
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

    /// Whether all credentials are good, and the account works. `Err` says in words what to mend.
    pub(super) async fn check(&self) -> Result<(), String> {
        let deadline = Instant::now() + CHECK_WITHIN;
        let account = self.path(".json");
        let sender = format!("the credential of {}", self.user);
        if self.own {
            let told = self.look(self.get(&account), &sender, deadline).await?;
            return self.works(told);
        }
        // A key may not look at the account itself.
        let list = self.path("/Messages.json?PageSize=1");
        self.look(self.get(&list), &sender, deadline).await?;
        let Some(token) = &self.signing else { return Ok(()) };
        let request = self.client.get(self.url(&account)).basic_auth(&self.sid, Some(token.expose_secret()));
        let signer = "twilio.auth_token, which receipts and replies are signed with";
        self.works(self.look(request, signer, deadline).await?)
    }

    /// What a request of this credential is told; nothing when Twilio is there, and busy.
    async fn look(
        &self,
        request: RequestBuilder,
        credential: &str,
        deadline: Instant,
    ) -> Result<Option<Told>, String> {
        let host = self.base.host_str().unwrap_or_default();
        let answer = match exchange(request, exchange::SHORT, deadline).await {
            Ended::Answered(answer) => answer,
            Ended::NotConnected | Ended::Lost(_) => {
                return Err(format!("{host} can't be reached, or does not answer"));
            }
        };
        match answer.status {
            200..300 => {}
            401 | 403 => return Err(format!("{host} refuses {credential}")),
            404 => return Err(format!("{host} knows no account {}", self.sid)),
            429 => return Ok(None),
            status => return Err(format!("{host} answers with HTTP {status}")),
        }
        let told = serde_json::from_slice(&answer.body).ok();
        told.map(Some).ok_or_else(|| format!("{host} answers what is not of Twilio"))
    }

    /// Whether what is told of an account is of ours, and that it works.
    fn works(&self, told: Option<Told>) -> Result<(), String> {
        let (host, sid) = (self.base.host_str().unwrap_or_default(), &self.sid);
        match told {
            None => Ok(()),
            Some(Told { status: Some(status), .. }) if matches!(status.as_str(), "suspended" | "closed") => {
                Err(format!("{host} says that the account {sid} is {status}"))
            }
            Some(Told { sid: Some(told), .. }) if told == *sid => Ok(()),
            Some(_) => Err(format!("{host} answers for another account than {sid}")),
        }
    }
}

/// Whether a text is an id of Twilio's with this beginning.
pub(super) fn is_sid(begin: &str, text: &str) -> bool {
    text.strip_prefix(begin)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether it can be a token or a key's secret.
pub(super) fn is_secret(secret: &SecretString) -> bool {
    let secret = secret.expose_secret();
    (16..=128).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
