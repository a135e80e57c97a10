//! People who reply: STOP and START change who may be written to, and every reply goes to the configured webhook.

use posthaste_model::{Clock, SystemClock};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::callback::Target;
use super::create;
use super::resource::Kept;
use super::server::{Inside, TwilioServer};

const STOP: [&str; 8] = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"];
const START: [&str; 3] = ["START", "YES", "UNSTOP"];

/// The result of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Replied {
    /// Whether the number is opted out now.
    pub opted_out: bool,
    /// The result of the webhook: `told`, `refused`, `lost`, `not_asked` when none is configured, `not_called` when it
    /// leads beyond this computer.
    pub webhook: &'static str,
}

impl TwilioServer {
    /// A person at this number replies with this text. `None`: it is not a phone number.
    pub async fn reply(&self, number: &str, text: &str) -> Option<Replied> {
        self.shared.provider.inside.reply(number, text).await
    }
}

impl Inside {
    pub(crate) async fn reply(&self, number: &str, text: &str) -> Option<Replied> {
        if !create::is_number(number) {
            return None;
        }
        let word = text.trim().to_uppercase();
        let kind = match word.as_str() {
            word if STOP.contains(&word) => Some("STOP"),
            word if START.contains(&word) => Some("START"),
            "HELP" | "INFO" => Some("HELP"),
            _ => None,
        };
        let opted_out = self.opt(number, kind);
        let webhook = self.bring(number, text, kind).await;
        Some(Replied { opted_out, webhook })
    }

    async fn bring(&self, number: &str, text: &str, kind: Option<&str>) -> &'static str {
        let Some(url) = &self.settings.inbound_url else { return "not_asked" };
        let Some(target) = Target::of(url, &self.settings) else { return "not_called" };
        let last = self.messages().last_to(number).cloned();
        let to =
            last.as_ref().and_then(|kept| kept.from.clone()).unwrap_or_else(|| "+15005550006".to_owned());
        let service = last.and_then(|kept| kept.service);
        let now = SystemClock.now();
        let (_, sid) = self.sid(now);
        let kept = Kept {
            sid: sid.clone(),
            to: to.clone(),
            from: Some(number.to_owned()),
            service: service.clone(),
            body: text.to_owned(),
            segments: 1,
            status: "received",
            created: now,
            updated: now,
            sent: Some(now),
            error: None,
            callback: None,
            inbound: true,
        };
        self.messages().put(kept, self.settings.keep_messages);
        let mut parameters = vec![
            ("AccountSid", self.settings.account.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("Body", text),
            ("From", number),
            ("MessageSid", &sid),
            ("NumMedia", "0"),
            ("NumSegments", "1"),
            ("SmsMessageSid", &sid),
            ("SmsSid", &sid),
            ("SmsStatus", "received"),
            ("To", &to),
        ];
        parameters.extend(kind.map(|kind| ("OptOutType", kind)));
        parameters.extend(service.as_deref().map(|sid| ("MessagingServiceSid", sid)));
        self.post(&target, self.settings.auth_token.expose_secret(), &parameters).await
    }
}
