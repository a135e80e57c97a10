//! One person in the queue's format: id, name, addresses per channel.

use std::collections::BTreeMap;

use posthaste_model::{Address, Text};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// What a column contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// The sender's own id for the person.
    Id,
    /// The name, or a part of it; parts are joined in the order of their columns.
    Name,
    /// Mailboxes.
    Email,
    /// Phone numbers for SMS.
    Sms,
    /// Chat ids or @names.
    Telegram,
    /// Peer ids.
    Vk,
}

impl Field {
    /// All fields, with their words for `--map`.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Id, "id"),
        (Self::Name, "name"),
        (Self::Email, "email"),
        (Self::Sms, "sms"),
        (Self::Telegram, "telegram"),
        (Self::Vk, "vk"),
    ];

    /// Its word; for addresses, the channel.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(field, _)| *field == self).map_or("", |(_, word)| word)
    }

    /// Whether it contains addresses.
    pub(crate) fn is_address(self) -> bool {
        !matches!(self, Self::Id | Self::Name)
    }

    /// The addresses of one cell. Blanks separate addresses only where an address can't contain any: between chats, between
    /// peers, and in a cell in which every part is a mailbox.
    fn split(self, cell: &str) -> impl Iterator<Item = &str> {
        let blanks = match self {
            Self::Id | Self::Name | Self::Sms => false,
            Self::Telegram | Self::Vk => true,
            Self::Email => cell.split_whitespace().all(|part| part.contains('@')),
        };
        let separates = move |c: char| matches!(c, ';' | ',' | '\n') || (blanks && c.is_whitespace());
        cell.split(separates).map(trim).filter(|part| !part.is_empty())
    }
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
    let text = match (channel, address.rsplit_once('@')) {
        ("email", Some((local, domain))) => format!("{local}@{}", domain.to_lowercase()),
        ("sms", _) => address.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect(),
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
            address => {
                let addresses = address.split(cell).map(Address::new);
                self.contacts.entry(address.word()).or_default().extend(addresses);
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
        for address in self.1 {
            let text = address.expose();
            // Numeric chat and peer ids are sent as JSON numbers.
            match text.parse::<i64>() {
                Ok(number) if matches!(self.0, "telegram" | "vk") => seq.serialize_element(&number)?,
                _ => seq.serialize_element(text)?,
            }
        }
        seq.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_the_body_of_a_recipient() {
        let mut person = Person::default();
        person.take(Field::Id, " p-1 ");
        person.take(Field::Name, "Петрова");
        person.take(Field::Name, "Анна");
        person.take(Field::Email, "a@b.example; c@d.example e@f.example");
        person.take(Field::Sms, "+7 901 000-00-01, 8 (901) 000-00-02");
        person.take(Field::Telegram, "123 @anna");
        person.take(Field::Vk, "");
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
        person.take(Field::Email, "\u{202a}a@b.example\u{202c}");
        assert_eq!(
            serde_json::to_value(&person).expect("JSON"),
            serde_json::json!({"id": "1", "name": "Ali Valiev", "contacts": {"email": ["a@b.example"]}})
        );
    }

    #[test]
    fn words_that_are_not_mailboxes_stay_one_address() {
        let person = Person::at("1".to_owned(), Field::Email, "not an address");
        assert_eq!(person.contacts["email"].len(), 1);
    }

    #[test]
    fn separators_alone_are_no_address() {
        let person = Person::at("1".to_owned(), Field::Email, " ; , ");
        assert!(!person.is_reachable());
    }
}
