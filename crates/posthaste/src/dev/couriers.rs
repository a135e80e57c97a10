//! The couriers of `posthaste dev`, one per channel, each configured to send to its fake provider in the sandbox. Timeouts
//! are shorter than real providers need, so that a fake provider that hangs on purpose shows within seconds.

use toml::Value;

use super::parts::section;
use super::ports::Ports;

/// The account that the sandbox's fake Twilio accepts.
pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Path for replies from people, below the address of the SMS courier.
pub(super) const INBOUND: &str = "/twilio/inbound";

/// A courier: its channel and its own settings.
pub(super) struct Courier {
    /// The word after `posthaste courier`.
    pub(super) channel: &'static str,
    /// The name of its process.
    pub(super) name: &'static str,
    /// Sections of its settings, in addition to those of every process.
    pub(super) sections: Vec<(&'static str, Value)>,
}

/// All couriers. `word` is the token with which the fake Twilio signs its callbacks.
pub(super) fn all(ports: &Ports, word: &str) -> [Courier; 4] {
    [email(ports), sms(ports, word), telegram(ports), vk(ports)]
}

fn email(ports: &Ports) -> Courier {
    let relay = format!("smtp+plain://{}", ports.smtp);
    let smtp = section(&[
        ("relays", vec![relay].into()),
        ("connect_within", "5s".into()),
        ("reply_within", "5s".into()),
        ("text_within", "5s".into()),
        ("final_reply_within", "10s".into()),
        ("send_within", "30s".into()),
    ]);
    let email = section(&[("from", "Posthaste dev <dev@posthaste.test>".into())]);
    Courier { channel: "email", name: "courier-email", sections: vec![("smtp", smtp), ("email", email)] }
}

fn sms(ports: &Ports, word: &str) -> Courier {
    let sms = section(&[
        ("connect_within", "2s".into()),
        ("send_within", "10s".into()),
        // The limit of the fake provider.
        ("max_concurrency", 100.into()),
        ("listen", ports.receipts.to_string().into()),
        ("public_url", format!("http://{}", ports.receipts).into()),
    ]);
    let twilio = section(&[
        ("api_url", format!("http://{}", ports.twilio).into()),
        ("account_sid", ACCOUNT.into()),
        ("auth_token", word.into()),
        ("from", "+15005550006".into()),
        ("ask_after", "5s".into()),
    ]);
    Courier { channel: "sms", name: "courier-sms", sections: vec![("sms", sms), ("twilio", twilio)] }
}

fn telegram(ports: &Ports) -> Courier {
    let telegram = section(&[
        ("tokens", "1000000001:posthaste-dev-takes-any-token-here".into()),
        ("api_url", format!("http://{}", ports.telegram).into()),
        ("connect_within", "2s".into()),
        ("send_within", "10s".into()),
        ("updates", true.into()),
    ]);
    Courier { channel: "telegram", name: "courier-telegram", sections: vec![("telegram", telegram)] }
}

fn vk(ports: &Ports) -> Courier {
    let vk = section(&[
        ("token", "posthaste-dev-takes-any-token-here".into()),
        ("api_url", format!("http://{}", ports.vk).into()),
        ("connect_within", "2s".into()),
        ("send_within", "10s".into()),
    ]);
    Courier { channel: "vk", name: "courier-vk", sections: vec![("vk", vk)] }
}
