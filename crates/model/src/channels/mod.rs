//! The channels, as data: what the queue, the command line, `dev`, the settings of all processes and the sandbox need to
//! know about each, without linking a courier. The process of a channel is described by its own crate
//! (`CourierProgram` in `posthaste-courier`), which names its descriptor here.
//!
//! To add a channel: a file here with its descriptor, a line in [`CHANNELS`], a crate for its courier, and a line for
//! that in the list of couriers of `posthaste`.

mod email;
mod sms;
mod telegram;
mod vk;
mod webhook;

pub use email::EMAIL;
pub use sms::SMS;
pub use telegram::TELEGRAM;
pub use vk::VK;
pub use webhook::WEBHOOK;

use crate::text_limit::TextLimit;

/// All channels, in the order in which they are listed.
pub const CHANNELS: &[&ChannelDescriptor] = &[&EMAIL, &SMS, &TELEGRAM, &VK, &WEBHOOK];

/// What a channel is called, what its addresses are, and where its settings are.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelDescriptor {
    /// Its name in the API, in keys and on the command line, such as `email`.
    pub name: &'static str,
    /// Its name within a sentence, such as `e-mail`.
    pub noun: &'static str,
    /// Whether an installation that says nothing about it accepts orders on it (`orders.channels`).
    pub by_default: bool,
    /// What its addresses must look like.
    pub address: AddressRule,
    /// How long its messages may be.
    pub text_limit: TextLimit,
    /// A word for an address in the usage of a command, such as `NUMBER`.
    pub value_name: &'static str,
    /// What an address is, as a sentence.
    pub help: &'static str,
    /// Titles of columns with its addresses: in lower case, with blanks for `_ - . :` and е for ё.
    pub csv_titles: &'static [&'static str],
    /// Its own sections of settings.
    pub sections: &'static [&'static str],
    /// The fake provider of the sandbox that `dev` sends to: its section in `[sandbox]`.
    pub fake_provider: &'static str,
    /// The flag of `dev` for the port of that fake provider, and its default; none means any free port.
    pub dev_port: Option<(&'static str, u16)>,
    /// An address to try under `dev`. `{provider}` stands for the listen address of the fake provider.
    pub example: &'static str,
    /// An address that always fails in the sandbox, in the same form.
    pub failing: &'static str,
}

/// What the addresses of a channel must look like. Only the queue can check them in full: it has the numbering plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressRule {
    /// A mailbox, such as `anna@example.org`.
    Mailbox,
    /// A phone number, such as `+12025550123`.
    Phone,
    /// A chat id, or a public name such as `@example`.
    Chat,
    /// A peer id.
    Peer,
    /// A URL with http or https.
    Url,
    /// Any text or whole number: what a channel that is not listed here gets.
    Text,
}

impl AddressRule {
    /// Whether addresses are usually whole numbers, which JSON can give as such.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Chat | Self::Peer)
    }
}

impl ChannelDescriptor {
    /// Its name as a title, such as `E-mail`.
    #[must_use]
    pub fn title(&self) -> String {
        let mut rest = self.noun.chars();
        rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
    }

    /// The name of its fake provider as a title, such as `SMTP`.
    #[must_use]
    pub fn provider_title(&self) -> String {
        self.fake_provider.to_uppercase()
    }
}

/// The descriptor of a channel; `None` for a channel that is not listed.
#[must_use]
pub fn find(name: &str) -> Option<&'static ChannelDescriptor> {
    CHANNELS.iter().find(|channel| channel.name == name).copied()
}

/// The address rule of a channel, listed or not.
#[must_use]
pub fn address_rule(name: &str) -> AddressRule {
    find(name).map_or(AddressRule::Text, |channel| channel.address)
}

/// The first channel whose addresses follow this rule.
#[must_use]
pub fn with_rule(rule: AddressRule) -> Option<&'static ChannelDescriptor> {
    CHANNELS.iter().find(|channel| channel.address == rule).copied()
}

/// The sections of settings that belong to the couriers.
pub fn sections() -> impl Iterator<Item = &'static str> {
    CHANNELS.iter().flat_map(|channel| channel.sections.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Channel;

    #[test]
    fn every_name_title_and_section_belongs_to_one_channel() {
        let mut seen = BTreeSet::new();
        for channel in CHANNELS {
            assert!(channel.name.parse::<Channel>().is_ok(), "{}", channel.name);
            assert_eq!(find(channel.name), Some(*channel));
            let titles = channel.csv_titles.iter().map(|title| format!("title {title}"));
            let sections = channel.sections.iter().map(|section| format!("section {section}"));
            for name in titles.chain(sections).chain([format!("name {}", channel.name)]) {
                assert!(seen.insert(name.clone()), "{name} is named twice");
            }
        }
    }

    #[test]
    fn titles_begin_with_a_capital() {
        let titles: Vec<_> = CHANNELS.iter().map(|channel| channel.title()).collect();
        assert_eq!(titles, ["E-mail", "SMS", "Telegram", "VK", "Webhook"]);
    }
}
