//! Twilio Programmable Messaging: sends with `Messages.json`, receives receipts and replies by signed callbacks, and
//! looks up messages at Twilio before an attempt of unknown outcome is repeated.

mod account;
mod callback;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inbound;
mod lookup;
mod send;
mod sid_cache;
mod signature;
mod smart_encoding;
mod status;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use posthaste_courier::rejected_callbacks::RejectedCallbacks;
use posthaste_courier::response_rules::RulesTable;
use posthaste_courier::{Capabilities, Envelope, FeedbackSink, LookupResult, Outcome, TransportStartError};
use posthaste_model::segments::{self, Counted};
use posthaste_model::{Channel, UnixMs};
use tokio::time::Instant;

use crate::callback_server::CallbackServer;
use crate::provider::{Message, Provider};
use crate::response_rules::{self, SmsRules};
use crate::sender_health::SenderHealth;
use crate::settings::{BadSetting, Settings, TwilioSettings as Section};
use account::Account;
use inbound::Words;
use sid_cache::SidCache;
use signature::Signature;

/// The embedded response rules.
pub(crate) const ANSWERS: RulesTable = response_rules::table(include_str!("response_rules.toml"));

/// The log message for requests without a valid signature.
const REFUSED: &str = "rejected requests without Twilio's signature; check that twilio.auth_token is the account's \
                       primary token, and sms.public_url the address that Twilio calls";

/// Twilio rejects a longer body (21617).
const MOST_CHARACTERS: usize = 1600;

/// One account at Twilio. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TwilioProvider(Arc<Inner>);

struct Inner {
    channel: Channel,
    settings: Section,
    account: Account,
    answers: SmsRules,
    /// The listener for receipts, and the verification of their signatures.
    receipts: Option<(CallbackServer, Signature)>,
    /// Requests without a valid signature.
    refusals: RejectedCallbacks,
    words: Words,
    seen: SidCache,
    feedback: OnceLock<Arc<dyn FeedbackSink>>,
    sender: Arc<SenderHealth>,
    send_within: Duration,
    /// One lookup at a time, so that two attempts of one text do not both find the same message.
    asking: tokio::sync::Mutex<()>,
}

impl TwilioProvider {
    /// Opens no connection.
    ///
    /// # Errors
    /// Names the setting to change, or what is wrong with the response rules.
    pub(crate) fn new(
        settings: &Settings,
        channel: Channel,
        sender: Arc<SenderHealth>,
    ) -> Result<Self, TransportStartError> {
        let (sms, section) = (&settings.sms, settings.twilio.clone());
        check(sms.max_characters, &section, !sms.listen.is_empty())?;
        let account = Account::new(&section, sms.client("twilio.api_url")?, !sms.listen.is_empty())?;
        let receipts = match CallbackServer::read(sms)? {
            Some(public) => Some((public, Signature::new(&section.auth_token)?)),
            None => None,
        };
        let answers = response_rules::load(&sms.response_rules_file, &ANSWERS)?;
        let words = Words::new(&section)?;
        let refusals = RejectedCallbacks::new(&channel, REFUSED);
        Ok(Self(Arc::new(Inner {
            channel,
            settings: section,
            account,
            answers,
            receipts,
            refusals,
            words,
            seen: SidCache::default(),
            feedback: OnceLock::new(),
            sender,
            send_within: sms.send_within.get(),
            asking: tokio::sync::Mutex::default(),
        })))
    }
}

impl Inner {
    fn feedback(&self) -> Option<&Arc<dyn FeedbackSink>> {
        self.feedback.get()
    }

    /// The text as Twilio sends it.
    fn as_sent(&self, text: &str) -> String {
        if self.settings.smart_encoding { smart_encoding::replace(text) } else { text.to_owned() }
    }
}

fn check(max_characters: usize, settings: &Section, hears: bool) -> Result<(), BadSetting> {
    let bad = |key, why: &str| Err(BadSetting::new(key, why));
    if max_characters > MOST_CHARACTERS {
        return bad("sms.max_characters", "must be at most 1600 for Twilio");
    }
    match (settings.from.is_empty(), settings.messaging_service_sid.is_empty()) {
        (true, true) => {
            return bad("twilio.from", "is missing: set it or twilio.messaging_service_sid");
        }
        (false, false) => return bad("twilio.from", "set it or twilio.messaging_service_sid, not both"),
        (false, true) if !is_sender(&settings.from) => {
            return bad(
                "twilio.from",
                "must be a number such as +12025550123, a short code, or a name of at most 11 characters",
            );
        }
        (true, false) if !account::is_sid("MG", &settings.messaging_service_sid) => {
            return bad("twilio.messaging_service_sid", "must be MG and 32 hexadecimal digits");
        }
        _ => {}
    }
    let valid_for = settings.valid_for.get();
    if !valid_for.as_millis().is_multiple_of(1000) || valid_for > Duration::from_secs(36_000) {
        return bad("twilio.valid_for", "must be whole seconds, at most 10h, or 0s");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=&,_-".contains(&byte);
    if !settings.callback_options.bytes().all(plain) {
        return bad("twilio.callback_options", "must be of the form rc=3&rp=5xx,ct,rt");
    }
    if hears && !repeats(&settings.callback_options) {
        return bad(
            "twilio.callback_options",
            "must let Twilio repeat requests that can't be stored, as rc=3&rp=5xx,ct,rt does (rc from 1 to 5, rp with \
             5xx or all): by default Twilio does not repeat a request that got a response, and a STOP would be lost",
        );
    }
    if settings.lookup_after.get() > Duration::from_secs(3600) {
        return bad("twilio.lookup_after", "must be at most 1h");
    }
    Ok(())
}

/// Whether Twilio repeats a request to which we responded with an error.
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
impl Provider for TwilioProvider {
    fn capabilities(&self, channel: Capabilities) -> Capabilities {
        Capabilities { looks_up: true, receipts: self.0.receipts.is_some(), ..channel }
    }

    fn count(&self, text: &str) -> Counted {
        segments::count(&self.0.as_sent(text))
    }

    async fn send(&self, message: Message<'_>, deadline: Instant) -> Outcome {
        self.0.create(message, deadline).await
    }

    async fn look_up(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> LookupResult {
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
            "in Twilio's console, set the webhook for messages to the number or service to {url}{options}"
        )]
    }

    fn open(&self, feedback: Arc<dyn FeedbackSink>) -> Router {
        for line in self.to_set_up() {
            tracing::info!(
                event = "provider.setup_needed",
                provider = "twilio",
                step = line,
                "set this up at the provider"
            );
        }
        // Called once; if called again, the first feedback sink is kept.
        let _ = self.0.feedback.set(feedback);
        callback::routes(Arc::clone(&self.0))
    }
}
