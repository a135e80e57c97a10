//! Twilio Programmable Messaging: messages by `Messages.json`, receipts and replies by signed callbacks, and a look at what
//! Twilio has before an attempt of unknown outcome is repeated.

mod account;
mod callback;
mod create;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inbound;
mod inquire;
mod lookalikes;
mod seen;
mod signature;
mod status;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use posthaste_courier::refusals::Refusals;
use posthaste_courier::{Abilities, Desk, Envelope, Found, Outcome};
use posthaste_model::segments::{self, Counted};
use posthaste_model::{Channel, UnixMs};
use tokio::time::Instant;

use crate::answers::Answers;
use crate::provider::{Message, Provider};
use crate::public::Public;
use crate::sender::Sender;
use crate::settings::{BadSetting, Settings, Twilio as Section};
use crate::transport::Unusable;
use account::Account;
use inbound::Words;
use seen::Seen;
use signature::Signature;

/// The table inside the program.
pub(crate) const ANSWERS: &str = include_str!("answers.toml");

/// What the log says of requests that are not signed.
const REFUSED: &str = "requests without Twilio's signature are refused; twilio.auth_token may not be the account's primary token, \
                       or sms.public_url not the address Twilio calls";

/// A body above this is refused by Twilio (21617).
const MOST_CHARACTERS: usize = 1600;

/// Twilio, as one account sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Twilio(Arc<Inner>);

struct Inner {
    channel: Channel,
    settings: Section,
    account: Account,
    answers: Answers,
    /// Receipts: where they come in, and how they are proved.
    receipts: Option<(Public, Signature)>,
    /// Requests that Twilio did not sign.
    refusals: Refusals,
    words: Words,
    seen: Seen,
    desk: OnceLock<Arc<dyn Desk>>,
    sender: Arc<Sender>,
    send_within: Duration,
    /// One inquiry at a time, so that two attempts of one text do not both find the same message.
    asking: tokio::sync::Mutex<()>,
}

impl Twilio {
    /// Opens nothing.
    ///
    /// # Errors
    /// The setting to change, or what is wrong with the table of answers.
    pub(crate) fn new(settings: &Settings, channel: Channel, sender: Arc<Sender>) -> Result<Self, Unusable> {
        let (sms, section) = (&settings.sms, settings.twilio.clone());
        check(sms.max_characters, &section, !sms.listen.is_empty())?;
        let account = Account::new(&section, sms.client("twilio.api_url")?, !sms.listen.is_empty())?;
        let receipts = match Public::read(sms)? {
            Some(public) => Some((public, Signature::new(&section.auth_token)?)),
            None => None,
        };
        let answers = Answers::load(&sms.answers_file, ANSWERS)?;
        let words = Words::new(&section)?;
        let refusals = Refusals::new(&channel, REFUSED);
        Ok(Self(Arc::new(Inner {
            channel,
            settings: section,
            account,
            answers,
            receipts,
            refusals,
            words,
            seen: Seen::default(),
            desk: OnceLock::new(),
            sender,
            send_within: sms.send_within.get(),
            asking: tokio::sync::Mutex::default(),
        })))
    }
}

impl Inner {
    fn desk(&self) -> Option<&Arc<dyn Desk>> {
        self.desk.get()
    }

    /// A text as Twilio sends it.
    fn as_sent(&self, text: &str) -> String {
        if self.settings.smart_encoding { lookalikes::replace(text) } else { text.to_owned() }
    }
}

fn check(max_characters: usize, settings: &Section, hears: bool) -> Result<(), BadSetting> {
    let bad = |key, why: &str| Err(BadSetting::new(key, why));
    if max_characters > MOST_CHARACTERS {
        return bad("sms.max_characters", "Twilio takes 1600 at most");
    }
    match (settings.from.is_empty(), settings.messaging_service_sid.is_empty()) {
        (true, true) => {
            return bad("twilio.from", "is missing: give it, or twilio.messaging_service_sid");
        }
        (false, false) => return bad("twilio.from", "give it or twilio.messaging_service_sid, not both"),
        (false, true) if !is_sender(&settings.from) => {
            return bad(
                "twilio.from",
                "must be a number such as +12025550123, a short code, or a name of at most 11",
            );
        }
        (true, false) if !account::is_sid("MG", &settings.messaging_service_sid) => {
            return bad("twilio.messaging_service_sid", "must be MG and 32 digits of 0-9 a-f");
        }
        _ => {}
    }
    let valid_for = settings.valid_for.get();
    if !valid_for.as_millis().is_multiple_of(1000) || valid_for > Duration::from_secs(36_000) {
        return bad("twilio.valid_for", "must be whole seconds, 10h at most, or 0s");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=&,_-".contains(&byte);
    if !settings.callback_options.bytes().all(plain) {
        return bad("twilio.callback_options", "must be like rc=3&rp=5xx,ct,rt");
    }
    if hears && !repeats(&settings.callback_options) {
        return bad(
            "twilio.callback_options",
            "must let Twilio repeat what can't be stored, as rc=3&rp=5xx,ct,rt does (rc from 1 to 5, rp with 5xx or all): by default \
             it repeats no request that was answered, and a STOP would be lost",
        );
    }
    if settings.ask_after.get() > Duration::from_secs(3600) {
        return bad("twilio.ask_after", "must be an hour at most");
    }
    Ok(())
}

/// Whether Twilio repeats a request that was answered by an error of ours.
fn repeats(options: &str) -> bool {
    let value = |key| options.split('&').find_map(|pair| pair.strip_prefix(key));
    let count = value("rc=").and_then(|count| count.parse::<u8>().ok());
    let after = value("rp=").unwrap_or_default();
    count.is_some_and(|count| (1..=5).contains(&count))
        && after.split(',').any(|kind| kind == "5xx" || kind == "all")
}

fn is_sender(from: &str) -> bool {
    let code = (3..=8).contains(&from.len()) && from.bytes().all(|byte| byte.is_ascii_digit());
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b" -_&+".contains(&byte);
    let name = (1..=11).contains(&from.len())
        && from.bytes().all(letters)
        && from.bytes().any(|byte| byte.is_ascii_alphabetic());
    crate::number::is_number(from) || code || name
}

#[async_trait]
impl Provider for Twilio {
    fn abilities(&self, channel: Abilities) -> Abilities {
        Abilities { inquires: true, receipts: self.0.receipts.is_some(), ..channel }
    }

    fn count(&self, text: &str) -> Counted {
        segments::count(&self.0.as_sent(text))
    }

    async fn send(&self, message: Message<'_>, deadline: Instant) -> Outcome {
        self.0.create(message, deadline).await
    }

    async fn inquire(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> Found {
        self.0.look(envelope, begun, now).await
    }

    async fn check(&self) -> Result<(), String> {
        self.0.account.check().await
    }

    fn to_set_up(&self) -> Vec<String> {
        let Some((public, _)) = &self.0.receipts else { return Vec::new() };
        let options = match self.0.settings.callback_options.as_str() {
            "" => String::new(),
            options => format!("#{options}"),
        };
        let url = public.at(callback::INBOUND);
        vec![format!(
            "at Twilio, the webhook for incoming messages of the number or service must be {url}{options}"
        )]
    }

    fn open(&self, desk: Arc<dyn Desk>) -> Router {
        for line in self.to_set_up() {
            tracing::info!("{line}");
        }
        // Called once; should it be again, the first desk is as good.
        let _ = self.0.desk.set(desk);
        callback::routes(Arc::clone(&self.0))
    }
}
