//! The couriers of `posthaste dev`, one a channel, each set up to send to its stand-in in the sandbox. A stand-in that hangs
//! on purpose is to show within seconds, so they wait for shorter than providers grant.

use toml::Value;

use super::parts::section;
use super::ports::Ports;

/// The account the sandbox's Twilio knows.
pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Where replies of people come in, below the address of the SMS courier.
pub(super) const INBOUND: &str = "/twilio/inbound";

/// A courier: its channel, and its own sections.
pub(super) struct Courier {
    /// As it is typed after `posthaste courier`.
    pub(super) channel: &'static str,
    /// What its process is called.
    pub(super) name: &'static str,
    /// Sections of its settings, beside those every process has.
    pub(super) sections: Vec<(&'static str, Value)>,
}

/// All of them. `word` is the token the stand-in for Twilio signs its callbacks with.
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
        // What the stand-in bears at once.
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
