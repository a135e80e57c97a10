//! One person in the queue's format: id, name, addresses per channel.

use std::collections::BTreeMap;

use posthaste_model::{Address, AddressRule, CHANNELS, ChannelDescriptor, Text, channels};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::cell::{self, Spoiled, trim};
use crate::mailboxes::mailboxes;

/// What a column contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The sender's own id for the person.
    Id,
    /// The name, or a part of it; parts are joined in the order of their columns.
    Name,
    /// Addresses of a channel.
    Address(&'static ChannelDescriptor),
}

impl Field {
    /// All fields.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Id, Self::Name].into_iter().chain(CHANNELS.iter().map(|channel| Self::Address(channel)))
    }

    /// Its word for `--map`; for addresses, the channel.
    pub fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Address(channel) => channel.name,
        }
    }

    /// What a cell of it is called in messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Id | Self::Name => self.word(),
            Self::Address(channel) => match channel.address {
                AddressRule::Mailbox => "mailbox",
                AddressRule::Phone => "phone number",
                AddressRule::Chat => "chat id",
                AddressRule::Peer => "peer id",
                AddressRule::Url => "URL",
                AddressRule::Text => "address",
            },
        }
    }

    /// Whether it contains addresses.
    pub fn is_address(self) -> bool {
        matches!(self, Self::Address(_))
    }
}

/// The addresses of one cell that are not mailboxes. Blanks separate addresses only where an address can't contain any:
/// between chats, between peers and between URLs. Nothing else separates URLs.
fn addresses(rule: AddressRule, cell: &str) -> impl Iterator<Item = &str> {
    let blanks = matches!(rule, AddressRule::Chat | AddressRule::Peer | AddressRule::Url);
    let marks = rule != AddressRule::Url;
    let separates =
        move |c: char| c == '\n' || (marks && matches!(c, ';' | ',')) || (blanks && c.is_whitespace());
    let is_phone = rule == AddressRule::Phone;
    cell.split(separates)
        .map(move |part| if is_phone { without_scheme(trim(part)) } else { trim(part) })
        .filter(|part| !part.is_empty())
}

/// The number of a link such as `tel:+79991234567`.
fn without_scheme(number: &str) -> &str {
    let is_scheme =
        |scheme: &&str| ["tel", "sms", "callto"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    match number.split_once(':') {
        Some((scheme, rest)) if is_scheme(&scheme) => trim(rest),
        _ => number,
    }
}

/// An address in a form for comparison: all but URLs in lower case, phone numbers without separators. Addresses that are equal
/// here are the same to the queue.
fn comparable(channel: &str, address: &str) -> String {
    let text = match channels::address_rule(channel) {
        AddressRule::Phone => address.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect(),
        AddressRule::Url => address.to_owned(),
        _ => address.to_lowercase(),
    };
    format!("{channel}\0{text}")
}

/// A recipient of the message.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// `[A-Za-z0-9_-]{1,64}`, which the queue checks.
    pub id: String,
    /// Whether the id is the sender's own, not generated here.
    pub has_own_id: bool,
    name: Text,
    /// The name next to a mailbox, for files without names.
    spare_name: Text,
    contacts: BTreeMap<&'static str, Vec<Address>>,
}

impl Person {
    /// A person with only an id.
    pub fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// A person with only one address, which is kept as it is if a spreadsheet spoiled it.
    pub fn at(id: String, field: Field, address: &str) -> Self {
        let mut person = Self::new(id);
        if let (Err(_), Field::Address(channel)) = (person.take(field, address), field) {
            person.contacts.entry(channel.name).or_default().push(Address::new(address));
        }
        person
    }

    /// Adds the content of one cell.
    ///
    /// # Errors
    /// A spreadsheet spoiled the value; nothing is added.
    pub fn take(&mut self, field: Field, cell: &str) -> Result<(), Spoiled> {
        match field {
            Field::Id => {
                let id = cell::value(cell);
                // `12E5` may be an id; `1.2E+5` can't be one.
                if id.contains(['.', ',', '+']) {
                    cell::number(&id)?;
                }
                if !id.is_empty() {
                    id.as_ref().clone_into(&mut self.id);
                    self.has_own_id = true;
                }
            }
            Field::Name => {
                // A line break in a cell becomes a space in the name.
                let text = cell::text(cell);
                let before = (!self.name.is_empty()).then(|| self.name.expose());
                let parts = text.split(char::is_control).map(trim).filter(|part| !part.is_empty());
                let name = before.into_iter().chain(parts).collect::<Vec<_>>().join(" ");
                self.name = Text::new(name);
            }
            Field::Address(channel) => {
                let value = cell::address(channel.address, cell)?;
                let list = match channel.address {
                    AddressRule::Mailbox => {
                        let found = mailboxes(&value);
                        if let Some(name) = found.name {
                            self.spare_name = Text::new(name);
                        }
                        found.addresses.into_iter().map(Address::new).collect()
                    }
                    rule => addresses(rule, &value).map(Address::new).collect::<Vec<_>>(),
                };
                if !list.is_empty() {
                    self.contacts.entry(channel.name).or_default().extend(list);
                }
            }
        }
        Ok(())
    }

    /// The name: that of the name columns, else the one next to the mailbox.
    fn shown_name(&self) -> &Text {
        if self.name.is_empty() { &self.spare_name } else { &self.name }
    }

    /// Whether the person has an address.
    pub fn is_reachable(&self) -> bool {
        self.contacts.values().any(|addresses| !addresses.is_empty())
    }

    /// Whether a channel has more than one address.
    pub fn has_spare(&self) -> bool {
        self.contacts.values().any(|addresses| addresses.len() > 1)
    }

    /// The addresses to use, with their channels, as text for comparison: on these channels, or on all if none are named; the
    /// first address of each channel, or all.
    pub fn used(&self, channels: &[String], all: bool) -> Vec<String> {
        let named = |channel: &str| channels.is_empty() || channels.iter().any(|name| name == channel);
        let used = self.contacts.iter().filter(|(channel, _)| named(channel));
        let most = if all { usize::MAX } else { 1 };
        used.flat_map(|(channel, addresses)| {
            addresses.iter().take(most).map(|address| comparable(channel, address.expose()))
        })
        .collect()
    }

    /// All addresses, as text for comparison.
    pub fn contacts_key(&self) -> String {
        self.used(&[], true).join("\n")
    }

    /// The channels on which the person has an address.
    pub fn channels(&self) -> impl Iterator<Item = &'static str> {
        self.contacts.iter().filter(|(_, addresses)| !addresses.is_empty()).map(|(channel, _)| *channel)
    }
}

/// The JSON for the queue. This is the only place where addresses are exposed.
impl Serialize for Person {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        if !self.shown_name().is_empty() {
            map.serialize_entry("name", self.shown_name().expose())?;
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
        person.take(Field::Id, " p-1 ").expect("taken");
        person.take(Field::Name, "Петрова").expect("taken");
        person.take(Field::Name, "Анна").expect("taken");
        person.take(Field::Address(&EMAIL), "a@b.example; c@d.example e@f.example").expect("taken");
        person.take(Field::Address(&SMS), "+7 901 000-00-01, 8 (901) 000-00-02").expect("taken");
        person.take(Field::Address(&TELEGRAM), "123 @anna").expect("taken");
        person.take(Field::Address(&VK), "").expect("taken");
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
        person.take(Field::Name, "\u{feff}Ali\r\n Valiev\u{a0}").expect("taken");
        person.take(Field::Address(&EMAIL), "\u{202a}a@b.example\u{202c}").expect("taken");
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

    #[test]
    fn artefacts_of_spreadsheets_leave_the_value() {
        let mut person = Person::new("1".to_owned());
        for (field, cell) in [
            (Field::Id, "'007"),
            (Field::Address(&EMAIL), "Anna K <mailto:a@b.example>"),
            (Field::Address(&SMS), "'tel:+7 901 000-00-01"),
            (Field::Address(&TELEGRAM), "=\"1001\""),
            (Field::Address(&VK), "'-100"),
        ] {
            person.take(field, cell).expect("taken");
        }
        let wanted = serde_json::json!({"id": "007", "name": "Anna K", "contacts": {
            "email": ["a@b.example"], "sms": ["+7 901 000-00-01"], "telegram": [1001], "vk": [-100],
        }});
        assert_eq!(serde_json::to_value(&person).expect("JSON"), wanted);
        // A column with names comes before the name next to the mailbox.
        person.take(Field::Name, "'=Anna").expect("taken");
        assert_eq!(serde_json::to_value(&person).expect("JSON")["name"], "=Anna");
        for (field, cell) in [(Field::Id, "1,01E+05"), (Field::Id, "101.0"), (Field::Address(&VK), "2001,0")]
        {
            assert!(person.take(field, cell).is_err(), "{cell}");
        }
        assert_eq!(serde_json::to_value(&person).expect("JSON")["id"], "007");
        person.take(Field::Id, "12E5").expect("an id");
    }

    #[test]
    fn an_address_of_the_command_line_is_never_dropped() {
        let person = Person::at("1".to_owned(), Field::Address(&SMS), "7.9E+10");
        assert!(person.is_reachable(), "for the queue to refuse");
    }
}
