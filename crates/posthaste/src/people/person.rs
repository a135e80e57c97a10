//! One person, as the queue wants them: id, name, addresses per channel.

use std::collections::BTreeMap;

use posthaste_model::{Address, Text};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// The sender's own id of the person.
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
    /// All of them, with the word that `--map` takes.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Id, "id"),
        (Self::Name, "name"),
        (Self::Email, "email"),
        (Self::Sms, "sms"),
        (Self::Telegram, "telegram"),
        (Self::Vk, "vk"),
    ];

    /// Its word; of addresses the channel.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(field, _)| *field == self).map_or("", |(_, word)| word)
    }

    /// Whether it holds addresses.
    pub(crate) fn is_address(self) -> bool {
        !matches!(self, Self::Id | Self::Name)
    }

    /// The addresses of one cell. Blanks separate only where an address holds none: between chats and peers, and between
    /// parts that all are mailboxes.
    fn split(self, cell: &str) -> impl Iterator<Item = &str> {
        let blanks = match self {
            Self::Id | Self::Name | Self::Sms => false,
            Self::Telegram | Self::Vk => true,
            Self::Email => cell.split_whitespace().all(|part| part.contains('@')),
        };
        let separates = move |c: char| matches!(c, ';' | ',' | '\n') || (blanks && c.is_whitespace());
        cell.split(separates).map(str::trim).filter(|part| !part.is_empty())
    }
}

/// Whom a message goes to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    /// `[A-Za-z0-9_-]{1,64}`, which the queue checks.
    pub(crate) id: String,
    name: Text,
    contacts: BTreeMap<&'static str, Vec<Address>>,
}

impl Person {
    /// A person of whom nothing but the id is known yet.
    pub(crate) fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// A person known by one address alone.
    pub(crate) fn at(id: String, field: Field, address: &str) -> Self {
        let mut person = Self::new(id);
        person.take(field, address);
        person
    }

    /// Takes the content of one cell.
    pub(crate) fn take(&mut self, field: Field, cell: &str) {
        let cell = cell.trim();
        if cell.is_empty() {
            return;
        }
        match field {
            Field::Id => cell.clone_into(&mut self.id),
            Field::Name if self.name.is_empty() => self.name = Text::new(cell),
            Field::Name => self.name = Text::new(format!("{} {cell}", self.name.expose())),
            address => {
                let addresses = address.split(cell).map(Address::new);
                self.contacts.entry(address.word()).or_default().extend(addresses);
            }
        }
    }

    /// Whether there is any way to reach them.
    pub(crate) fn is_reachable(&self) -> bool {
        self.contacts.values().any(|addresses| !addresses.is_empty())
    }

    /// The channels they can be reached on.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &'static str> {
        self.contacts.iter().filter(|(_, addresses)| !addresses.is_empty()).map(|(channel, _)| *channel)
    }
}

/// The body the queue takes. This is the one place where addresses leave their masks.
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
            // Chats and peers are numbers on the wire where they are numbers at all.
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
    fn words_that_are_no_mailboxes_stay_one_flaw() {
        let person = Person::at("1".to_owned(), Field::Email, "not an address");
        assert_eq!(person.contacts["email"].len(), 1);
    }

    #[test]
    fn separators_alone_reach_nobody() {
        let person = Person::at("1".to_owned(), Field::Email, " ; , ");
        assert!(!person.is_reachable());
    }
}
