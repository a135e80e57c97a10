//! Detects what each column contains: by common English or Russian titles, or by `--map`.

use std::str::FromStr;

use posthaste_model::{AddressRule, CHANNELS, channels};

use crate::cell::{self, is_blank, is_dash, plain};
use crate::mailboxes::mailboxes;
use crate::{Field, FileError, Result};

/// Common titles of columns without addresses, in lower case, with blanks for `_ - .` and е for ё; those with addresses are in
/// the descriptors of the channels. A code ("Код") often identifies a group, so it is not an id unless it is mapped.
const TITLES: &[(Field, &[&str])] = &[
    (Field::Id, &["id", "recipient id", "recipient", "uid", "user id", "person id", "ид", "табельный номер"]),
    (
        Field::Name,
        &[
            "name",
            "recipient name",
            "full name",
            "fullname",
            "first name",
            "firstname",
            "given name",
            "middle name",
            "last name",
            "lastname",
            "surname",
            "family name",
            "имя",
            "фамилия",
            "отчество",
            "фио",
            "ф и о",
            "полное имя",
            "получатель",
            "имя и фамилия",
            "фамилия имя",
            "фамилия имя отчество",
        ],
    ),
];

/// Titles of the column of a channel and of its address, in files that have one address per row.
const CHANNEL_TITLES: [&str; 2] = ["channel", "канал"];
const ADDRESS_TITLES: [&str; 2] = ["address", "адрес"];

/// One `--map`: a column by its title or its number from 1, and what it contains; `None` ignores the column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    column: String,
    field: Option<Field>,
}

impl FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = || {
            let words: Vec<&str> = Field::all().map(Field::word).collect();
            format!("must be COLUMN=FIELD, where FIELD is one of {}, phone, ignore", words.join(", "))
        };
        let (column, field) = text.rsplit_once('=').ok_or_else(words)?;
        let field = match field.trim().to_lowercase().as_str() {
            "ignore" => None,
            "phone" => field_of("phone"),
            word => Some(Field::all().find(|known| known.word() == word).ok_or_else(words)?),
        };
        match column.trim() {
            "" => Err(words()),
            column => Ok(Self { column: column.to_owned(), field }),
        }
    }
}

/// What each column contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    fields: Vec<Option<Field>>,
    titles: Vec<String>,
    /// The columns of a channel and of its address, where no column contains the addresses of one channel.
    by_row: Option<(usize, usize)>,
    /// Whether the first row contains titles.
    pub has_header: bool,
}

impl Columns {
    /// Detects what each column contains from the first row.
    ///
    /// # Errors
    /// Usage: `--map` names a column that does not exist, or no column contains addresses.
    pub fn find(first: &[&str], maps: &[Map]) -> Result<Self> {
        // A title may contain a sample address. A cell with an address that is not a known title belongs to a person.
        let is_person = |cell: &&str| is_address(cell) || (has_mailbox(cell) && field_of(cell).is_none());
        let has_header = !first.iter().any(is_person);
        let titles: Vec<String> = first
            .iter()
            .enumerate()
            .map(|(at, cell)| match has_header {
                true => plain(cell.trim()),
                false => format!("column {}", at + 1),
            })
            .collect();
        let mut fields: Vec<Option<Field>> = match has_header {
            true => first.iter().map(|title| field_of(title)).collect(),
            false => first.iter().map(|cell| guess(cell)).collect(),
        };
        for map in maps {
            let at = position(&map.column, &titles).ok_or_else(|| {
                FileError::usage(format!("--map: there is no column {:?}", plain(&map.column)))
                    .remedy(format!("The columns are: {}", titles.join(" · ")))
            })?;
            fields[at] = map.field;
        }
        let of_channel = fields.iter().flatten().any(|field| field.is_address());
        let at = |words: [&str; 2]| titles.iter().position(|title| words.contains(&usual(title).as_str()));
        let by_row = match has_header && !of_channel {
            true => at(CHANNEL_TITLES).zip(at(ADDRESS_TITLES)),
            false => None,
        };
        if !of_channel && by_row.is_none() {
            return Err(FileError::usage("no column contains addresses").remedy(format!(
                "The columns are: {}\nAssign a column to a field: --map \"{}=email\" (or {}, name, id)",
                titles.join(" · "),
                titles.first().map_or("1", String::as_str),
                CHANNELS.iter().skip(1).map(|channel| channel.name).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(Self { fields, titles, by_row, has_header })
    }

    /// What the column at `at` (from 0) contains.
    pub fn field(&self, at: usize) -> Option<Field> {
        self.fields.get(at).copied().flatten()
    }

    /// The columns (from 0) of a channel and of its address, in files such as an export of deliveries.
    pub(crate) fn by_row(&self) -> Option<(usize, usize)> {
        self.by_row
    }

    /// Number of columns.
    pub fn count(&self) -> usize {
        self.fields.len()
    }

    /// The title of the first column with this field, for messages.
    pub fn title_of(&self, word: &str) -> Option<&str> {
        let at = self.fields.iter().position(|field| field.is_some_and(|field| field.word() == word))?;
        self.titles.get(at).map(String::as_str)
    }

    /// In words: `"Почта" → email, "ФИО" → name; not used: "Отдел"`.
    pub fn words(&self) -> String {
        let pairs = || self.titles.iter().zip(&self.fields);
        let used: Vec<String> = pairs()
            .filter_map(|(title, field)| field.map(|field| format!("\"{title}\" → {}", field.word())))
            .collect();
        let by_row = self.by_row.map(|(channel, address)| {
            format!("\"{}\" → address on the channel in \"{}\"", self.titles[address], self.titles[channel])
        });
        let used: Vec<String> = used.into_iter().chain(by_row).collect();
        let is_by_row = |at| self.by_row.is_some_and(|(channel, address)| at == channel || at == address);
        let unused: Vec<String> = pairs()
            .enumerate()
            .filter(|(at, (_, field))| field.is_none() && !is_by_row(*at))
            .map(|(_, (title, _))| format!("\"{title}\""))
            .collect();
        match unused.is_empty() {
            true => used.join(", "),
            false => format!("{}; not used: {}", used.join(", "), unused.join(", ")),
        }
    }
}

fn position(column: &str, titles: &[String]) -> Option<usize> {
    let wanted = usual(column);
    let by_title = titles.iter().position(|title| usual(title) == wanted);
    let by_number = || column.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < titles.len());
    by_title.or_else(by_number)
}

/// What a column with this title contains: matches the whole title, or the title without an explanation
/// (`Email (e.g. name@example.org)`, `Phone*`).
pub(crate) fn field_of(title: &str) -> Option<Field> {
    if is_address(title) {
        return None;
    }
    let without_samples = || {
        let words = title.split_whitespace().filter(|word| !word.contains('@'));
        words.collect::<Vec<_>>().join(" ")
    };
    let begin = || title.split(['(', '[', '{', '*', ':', ',', '/', '—', '–', '\n']).next();
    let before_sample = || {
        let small = title.to_lowercase();
        ["e.g.", "for example", "example", "напр", "пример"]
            .iter()
            .find_map(|word| small.find(word))
            .map(|at| small[..at].to_owned())
    };
    known(title)
        .or_else(|| known(begin()?))
        .or_else(|| known(&without_samples()))
        .or_else(|| known(&before_sample()?))
}

/// What a column with exactly this title contains.
fn known(title: &str) -> Option<Field> {
    let title = usual(title);
    let plain = TITLES.iter().find(|(_, usual)| usual.contains(&title.as_str())).map(|(field, _)| *field);
    let address = || CHANNELS.iter().find(|channel| channel.csv_titles.contains(&title.as_str())).copied();
    plain.or_else(|| address().map(Field::Address))
}

/// A title in the form used by [`TITLES`].
fn usual(title: &str) -> String {
    let small = title.to_lowercase().replace('ё', "е");
    let words = small.split(|c: char| c.is_whitespace() || "_-.:\u{feff}".contains(c));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether a cell contains one or several addresses and nothing else.
pub(crate) fn is_address(cell: &str) -> bool {
    guess(cell).is_some_and(Field::is_address)
}

/// Whether a cell contains a mailbox.
fn has_mailbox(cell: &str) -> bool {
    cell.split(|c: char| c.is_whitespace() || "<>()[]:;,\"'".contains(c)).any(is_mailbox)
}

fn is_mailbox(part: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !"<>()[]:;,\"".contains(c);
    part.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.contains('@') && part.chars().all(plain)
    })
}

fn guess(cell: &str) -> Option<Field> {
    if cell.contains('@') {
        let found = mailboxes(&cell::address(AddressRule::Mailbox, cell).ok()?);
        // `Email <name@company.com>` is a title with a sample.
        let is_title = found.name.as_deref().and_then(known).is_some();
        let is_address = !found.addresses.is_empty() && found.addresses.iter().all(|part| is_mailbox(part));
        return channels::with_rule(AddressRule::Mailbox)
            .filter(|_| is_address && !is_title)
            .map(Field::Address);
    }
    let cell = cell::value(cell);
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    let between = |c: char| is_blank(c) || is_dash(c) || matches!(c, '+' | '(' | ')' | '.');
    let is_phone = cell.chars().all(|c| c.is_ascii_digit() || between(c)) && digits >= 10;
    channels::with_rule(AddressRule::Phone).filter(|_| is_phone).map(Field::Address)
}

#[cfg(test)]
mod tests {
    use posthaste_model::channels::{EMAIL, SMS};

    use super::*;

    fn words(first: &[&str], maps: &[&str]) -> Result<String, String> {
        let maps: Vec<Map> = maps.iter().map(|map| map.parse().expect("a map")).collect();
        Columns::find(first, &maps).map(|found| found.words()).map_err(|error| {
            let (text, remedy, _) = error.into_parts();
            format!("{text} {}", remedy.unwrap_or_default())
        })
    }

    #[test]
    fn common_titles_are_known_in_two_languages() {
        assert_eq!(
            words(&["ID", "Full_Name", "E-mail", "Phone", "Telegram ID", "VK", "Team"], &[]),
            Ok("\"ID\" → id, \"Full_Name\" → name, \"E-mail\" → email, \"Phone\" → sms, \"Telegram ID\" → telegram, \
                \"VK\" → vk; not used: \"Team\""
                .to_owned())
        );
        assert_eq!(
            words(&["Фамилия", "Имя", "Эл. почта", "Номер телефона", "Телеграм", "ВКонтакте"], &[]),
            Ok("\"Фамилия\" → name, \"Имя\" → name, \"Эл. почта\" → email, \"Номер телефона\" → sms, \
                \"Телеграм\" → telegram, \"ВКонтакте\" → vk"
                .to_owned())
        );
    }

    #[test]
    fn a_title_with_a_sample_address_is_a_title() {
        for (title, field) in [
            ("Email (e.g. name@company.com)", Some(Field::Address(&EMAIL))),
            ("E-mail: name@company.com", Some(Field::Address(&EMAIL))),
            ("Email, name@company.com", Some(Field::Address(&EMAIL))),
            ("Email e.g. name@company.com", Some(Field::Address(&EMAIL))),
            ("Почта (например, anna@example.org)", Some(Field::Address(&EMAIL))),
            ("Email address*", Some(Field::Address(&EMAIL))),
            ("Телефон (+7 901 123-45-67)", Some(Field::Address(&SMS))),
            ("Phone [with country code]", Some(Field::Address(&SMS))),
            ("Email <name@company.com>", Some(Field::Address(&EMAIL))),
            ("name@company.com", None),
            ("Anna <name@company.com>", None),
            ("Anna name@company.com", None),
        ] {
            assert_eq!(field_of(title), field, "{title}");
            let email = "2=email".parse().expect("a map");
            let found = Columns::find(&[title, "Email"], &[email]).expect("columns");
            assert_eq!(found.has_header, field.is_some(), "{title}");
        }
    }

    #[test]
    fn a_code_is_not_an_id_unless_it_is_mapped() {
        for code in ["Код", "code", "Code"] {
            assert_eq!(words(&[code, "Email"], &[]), Ok(format!("\"Email\" → email; not used: \"{code}\"")));
            let map = format!("{code}=id");
            assert_eq!(words(&[code, "Email"], &[&map]), Ok(format!("\"{code}\" → id, \"Email\" → email")));
        }
    }

    #[test]
    fn a_map_overrides_the_title_and_may_use_column_numbers() {
        assert_eq!(
            words(&["Who", "Write to", "Phone"], &["Write to=email", "1=name", "phone=ignore"]),
            Ok("\"Who\" → name, \"Write to\" → email; not used: \"Phone\"".to_owned())
        );
        let refused = words(&["Who", "Email"], &["Mail=email"]).expect_err("no such column");
        assert!(refused.contains("Who · Email"), "{refused}");
        assert!("Email".parse::<Map>().is_err());
        assert!("Email=emial".parse::<Map>().is_err());
        assert!("=email".parse::<Map>().is_err());
    }

    #[test]
    fn columns_without_titles_are_detected_from_the_first_row() {
        let columns = Columns::find(&["a@b.example", "+7\u{a0}901 000\u{2013}00\u{2013}01", "x"], &[])
            .expect("columns");
        assert!(!columns.has_header);
        assert_eq!(columns.words(), "\"column 1\" → email, \"column 2\" → sms; not used: \"column 3\"");
    }

    #[test]
    fn an_export_names_the_channel_of_each_address() {
        let export = ["recipient_id", "recipient_name", "channel", "address", "status"];
        assert_eq!(
            words(&export, &[]),
            Ok("\"recipient_id\" → id, \"recipient_name\" → name, \"address\" → address on the channel in \
                \"channel\"; not used: \"status\""
                .to_owned())
        );
        assert!(words(&["Name", "Address"], &[]).is_err(), "an address may be a street");
        let mapped = words(&["Channel", "Address"], &["Address=email"]);
        assert_eq!(mapped, Ok("\"Address\" → email; not used: \"Channel\"".to_owned()));
    }

    #[test]
    fn cells_as_spreadsheets_leave_them_are_addresses() {
        for (cell, field) in [
            ("'+79991234567", &SMS),
            ("=\"79991234567\"", &SMS),
            ("+7 901 123\u{2212}45\u{ff0d}67", &SMS),
            ("mailto:a@b.example", &EMAIL),
            ("Anna <a@b.example>", &EMAIL),
            ("\u{200b}a@b.example\u{a0}", &EMAIL),
        ] {
            assert_eq!(guess(cell), Some(Field::Address(field)), "{cell:?}");
        }
        assert!(["7.9E+10", "Anna", "#N/A", "", "a@b"].iter().all(|cell| guess(cell).is_none()));
    }

    #[test]
    fn a_file_without_addresses_is_refused_with_the_titles() {
        let refused = words(&["Who", "Where"], &[]).expect_err("no addresses");
        assert!(refused.contains("Who · Where") && refused.contains("--map"), "{refused}");
    }
}
