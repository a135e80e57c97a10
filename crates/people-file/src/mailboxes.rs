//! The mailboxes of a cell: bare ones, links (`mailto:`), and mailboxes with names (`Anna <anna@example.org>`).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::cell::trim;

/// What a cell of mailboxes contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mailboxes {
    /// The mailboxes, or whole parts that are none, for the queue to refuse.
    pub(crate) addresses: Vec<String>,
    /// The name next to the mailbox, if there is only one mailbox.
    pub(crate) name: Option<String>,
}

/// Reads the cell.
pub(crate) fn mailboxes(cell: &str) -> Mailboxes {
    let (mut addresses, mut names) = (Vec::<Cow<'_, str>>::new(), Vec::<&str>::new());
    let mut rest = cell;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((inside, behind)) = after.split_once('>').filter(|(inside, _)| inside.contains('@')) else {
            break;
        };
        // What is directly before the bracket is the name, even if it looks like a mailbox.
        let name = before.rfind(is_separator).map_or(before, |at| &before[at + 1..]);
        for part in before[..before.len() - name.len()].split(is_separator).map(trim) {
            match part.contains('@') {
                true => addresses.extend(bare(part)),
                false => names.push(part),
            }
        }
        names.push(name);
        addresses.push(linked(trim(inside)));
        rest = behind;
    }
    addresses.extend(rest.split(is_separator).map(trim).filter(|part| !part.is_empty()).flat_map(bare));
    let addresses = addresses.into_iter().fold(Vec::<String>::new(), |mut list, address| {
        if !list.iter().any(|known| *known == address) {
            list.push(address.into_owned());
        }
        list
    });
    let quotes = |c: char| matches!(c, '"' | '\'' | '\u{ab}' | '\u{bb}' | '\u{201c}' | '\u{201d}');
    let names = names.iter().map(|name| trim(trim(name).trim_matches(quotes)));
    let name = names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
    let is_name = addresses.len() == 1 && !name.is_empty() && !name.contains('@');
    Mailboxes { addresses, name: is_name.then_some(name) }
}

fn is_separator(c: char) -> bool {
    matches!(c, ';' | ',' | '\n')
}

/// The mailboxes of a part without brackets: blanks and bars separate them if each is one.
fn bare(part: &str) -> Vec<Cow<'_, str>> {
    let words = || part.split_whitespace().filter(|word| !matches!(*word, "/" | "|"));
    match words().all(|word| word.contains('@')) {
        true => words().map(linked).collect(),
        false => vec![linked(part)],
    }
}

/// The mailbox of a link; `mailto:anna@example.org?subject=Hi` is `anna@example.org`.
fn linked(part: &str) -> Cow<'_, str> {
    let scheme = part.get(.."mailto:".len()).filter(|begin| begin.eq_ignore_ascii_case("mailto:"));
    let Some(scheme) = scheme else { return Cow::Borrowed(part) };
    let link = &part[scheme.len()..];
    let address = link.split_once('?').map_or(link, |(address, _)| address);
    percent_decode_str(trim(address)).decode_utf8().unwrap_or(Cow::Borrowed(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_found_with_their_names() {
        let (a, b) = ("a@x.example", "b@x.example");
        for (cell, addresses, name) in [
            ("a@x.example", &[a][..], None),
            ("a@x.example, b@x.example", &[a, b], None),
            ("a@x.example b@x.example", &[a, b], None),
            ("a@x.example / b@x.example", &[a, b], None),
            ("a@x.example\nb@x.example;", &[a, b], None),
            ("a@x.example;a@x.example", &[a], None),
            ("mailto:a@x.example", &[a], None),
            ("MailTo:a@x.example?subject=Hi%20you", &[a], None),
            ("mailto:a%40x.example; mailto:b@x.example", &[a, b], None),
            ("<a@x.example>", &[a], None),
            ("Anna <a@x.example>", &[a], Some("Anna")),
            ("\"Lee, Anna\" <a@x.example>", &[a], Some("Lee Anna")),
            ("Lee, Anna <a@x.example>", &[a], Some("Lee Anna")),
            ("Anna <mailto:a@x.example>", &[a], Some("Anna")),
            ("a@x.example <a@x.example>", &[a], None),
            ("Anna <a@x.example>, Bo <b@x.example>", &[a, b], None),
            ("Anna <a@x.example>; b@x.example", &[a, b], None),
            ("a@x.example; Bo <b@x.example>", &[a, b], None),
            // The queue refuses these.
            ("not a mailbox", &["not a mailbox"], None),
            ("Anna a@x.example", &["Anna a@x.example"], None),
            ("Anna <a@x.example", &["Anna <a@x.example"], None),
            ("Anna <none>", &["Anna <none>"], None),
            ("Anna <a@x.example> (work)", &[a, "(work)"], None),
            ("\u{444}\u{444}\u{444}", &["\u{444}\u{444}\u{444}"], None),
            (" ; , ", &[], None),
        ] {
            let found = mailboxes(cell);
            assert_eq!(
                (found.addresses, found.name.as_deref()),
                (addresses.iter().map(|a| (*a).to_owned()).collect(), name),
                "{cell:?}"
            );
        }
    }
}
