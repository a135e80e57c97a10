//! One person in the queue's format: id, name, addresses per channel.

use std::collections::BTreeMap;

use posthaste_model::{Address, AddressRule, CHANNELS, ChannelDescriptor, Text, channels};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// What a column contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// The sender's own id for the person.
    Id,
    /// The name, or a part of it; parts are joined in the order of their columns.
    Name,
    /// Addresses of a channel.
    Address(&'static ChannelDescriptor),
}

impl Field {
    /// All fields.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Id, Self::Name].into_iter().chain(CHANNELS.iter().map(|channel| Self::Address(channel)))
    }

    /// Its word for `--map`; for addresses, the channel.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Address(channel) => channel.name,
        }
    }

    /// Whether it contains addresses.
    pub(crate) fn is_address(self) -> bool {
        matches!(self, Self::Address(_))
    }
}

/// The addresses of one cell. Blanks separate addresses only where an address can't contain any: between chats, between
/// peers, between URLs, and in a cell in which every part is a mailbox. Nothing else separates URLs.
fn addresses(rule: AddressRule, cell: &str) -> impl Iterator<Item = &str> {
    let blanks = match rule {
        AddressRule::Phone | AddressRule::Text => false,
        AddressRule::Chat | AddressRule::Peer | AddressRule::Url => true,
        AddressRule::Mailbox => cell.split_whitespace().all(|part| part.contains('@')),
    };
    let marks = rule != AddressRule::Url;
    let separates =
        move |c: char| c == '\n' || (marks && matches!(c, ';' | ',')) || (blanks && c.is_whitespace());
    cell.split(separates).map(trim).filter(|part| !part.is_empty())
}

/// Removes blanks and invisible marks around a cell.
pub(crate) fn trim(cell: &str) -> &str {
    cell.trim_matches(is_blank)
}

/// Whether a character is invisible.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// An address in a form for comparison: domains in lower case, phone numbers without separators. Addresses that are equal
/// here are the same to the queue.
fn comparable(channel: &str, address: &str) -> String {
    let text = match (channels::address_rule(channel), address.rsplit_once('@')) {
        (AddressRule::Mailbox, Some((local, domain))) => format!("{local}@{}", domain.to_lowercase()),
        (AddressRule::Phone, _) => address.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect(),
        (AddressRule::Url, _) => address.to_owned(),
        _ => address.to_lowercase(),
    };
    format!("{channel}\0{text}")
}

/// A recipient of the message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    /// `[A-Za-z0-9_-]{1,64}`, which the queue checks.
    pub(crate) id: String,
    /// Whether the id is the sender's own, not generated here.
    pub(crate) has_own_id: bool,
    name: Text,
    contacts: BTreeMap<&'static str, Vec<Address>>,
}

impl Person {
    /// A person with only an id.
    pub(crate) fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// A person with only one address.
    pub(crate) fn at(id: String, field: Field, address: &str) -> Self {
        let mut person = Self::new(id);
        person.take(field, address);
        person
    }

    /// Adds the content of one cell.
    pub(crate) fn take(&mut self, field: Field, cell: &str) {
        let cell = trim(cell);
        if cell.is_empty() {
            return;
        }
        match field {
            Field::Id => {
                cell.clone_into(&mut self.id);
                self.has_own_id = true;
            }
            Field::Name => {
                // A line break in a cell becomes a space in the name.
                let before = (!self.name.is_empty()).then(|| self.name.expose());
                let parts = cell.split(char::is_control).map(trim).filter(|part| !part.is_empty());
                self.name = Text::new(before.into_iter().chain(parts).collect::<Vec<_>>().join(" "));
            }
            Field::Address(channel) => {
                let addresses = addresses(channel.address, cell).map(Address::new);
                self.contacts.entry(channel.name).or_default().extend(addresses);
            }
        }
    }

    /// Whether the person has an address.
    pub(crate) fn is_reachable(&self) -> bool {
        self.contacts.values().any(|addresses| !addresses.is_empty())
    }

    /// Whether a channel has more than one address.
    pub(crate) fn has_spare(&self) -> bool {
        self.contacts.values().any(|addresses| addresses.len() > 1)
    }

    /// The addresses to use, with their channels, as text for comparison: on these channels, or on all if none are named; the
    /// first address of each channel, or all.
    pub(crate) fn used(&self, channels: &[String], all: bool) -> Vec<String> {
        let named = |channel: &str| channels.is_empty() || channels.iter().any(|name| name == channel);
        let used = self.contacts.iter().filter(|(channel, _)| named(channel));
        let most = if all { usize::MAX } else { 1 };
        used.flat_map(|(channel, addresses)| {
            addresses.iter().take(most).map(|address| comparable(channel, address.expose()))
        })
        .collect()
    }

    /// All addresses, as text for comparison.
    pub(crate) fn contacts_key(&self) -> String {
        self.used(&[], true).join("\n")
    }

    /// The channels on which the person has an address.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &'static str> {
        self.contacts.iter().filter(|(_, addresses)| !addresses.is_empty()).map(|(channel, _)| *channel)
    }
}

/// The JSON for the queue. This is the only place where addresses are exposed.
impl Serialize for Person {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        if !self.name.is_empty() {
            map.serialize_entry("name", self.name.expose())?;
        }
        map.serialize_entry("contacts", &Contacts(&self.contacts))?;
        map.end()
    }
}

struct Contacts<'a>(&'a BTreeMap<&'static str, Vec<Address>>);

impl Serialize for Contacts<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(channel, addresses)| (*channel, Addresses(channel, addresses))))
    }
}

struct Addresses<'a>(&'static str, &'a [Address]);

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut seq = to.serialize_seq(Some(self.1.len()))?;
        let is_numeric = channels::address_rule(self.0).is_numeric();
        for address in self.1 {
            let text = address.expose();
            // Numeric chat and peer ids are sent as JSON numbers.
            match text.parse::<i64>() {
                Ok(number) if is_numeric => seq.serialize_element(&number)?,
                _ => seq.serialize_element(text)?,
            }
        }
        seq.end()
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::channels::{EMAIL, SMS, TELEGRAM, VK, WEBHOOK};

    use super::*;

    #[test]
    fn cells_become_the_body_of_a_recipient() {
        let mut person = Person::default();
        person.take(Field::Id, " p-1 ");
        person.take(Field::Name, "Петрова");
        person.take(Field::Name, "Анна");
        person.take(Field::Address(&EMAIL), "a@b.example; c@d.example e@f.example");
        person.take(Field::Address(&SMS), "+7 901 000-00-01, 8 (901) 000-00-02");
        person.take(Field::Address(&TELEGRAM), "123 @anna");
        person.take(Field::Address(&VK), "");
        assert_eq!(
            serde_json::to_value(&person).expect("JSON"),
            serde_json::json!({"id": "p-1", "name": "Петрова Анна", "contacts": {
                "email": ["a@b.example", "c@d.example", "e@f.example"],
                "sms": ["+7 901 000-00-01", "8 (901) 000-00-02"],
                "telegram": [123, "@anna"],
            }})
        );
        assert_eq!(person.channels().collect::<Vec<_>>(), ["email", "sms", "telegram"]);
    }

    #[test]
    fn line_breaks_in_names_become_spaces_and_invisible_marks_are_removed() {
        let mut person = Person::new("1".to_owned());
        person.take(Field::Name, "\u{feff}Ali\r\n Valiev\u{a0}");
        person.take(Field::Address(&EMAIL), "\u{202a}a@b.example\u{202c}");
        assert_eq!(
            serde_json::to_value(&person).expect("JSON"),
            serde_json::json!({"id": "1", "name": "Ali Valiev", "contacts": {"email": ["a@b.example"]}})
        );
    }

    #[test]
    fn words_that_are_not_mailboxes_stay_one_address() {
        let person = Person::at("1".to_owned(), Field::Address(&EMAIL), "not an address");
        assert_eq!(person.contacts["email"].len(), 1);
    }

    #[test]
    fn marks_within_a_url_do_not_end_it() {
        let person = Person::at(
            "1".to_owned(),
            Field::Address(&WEBHOOK),
            "https://a.example/x;y,z https://b.example/",
        );
        let expected = ["https://a.example/x;y,z", "https://b.example/"].map(Address::new);
        assert_eq!(person.contacts["webhook"], expected);
    }

    #[test]
    fn separators_alone_are_no_address() {
        let person = Person::at("1".to_owned(), Field::Address(&EMAIL), " ; , ");
        assert!(!person.is_reachable());
    }
}
