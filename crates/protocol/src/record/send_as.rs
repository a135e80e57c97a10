//! The mailboxes and display names a key may send from.

use posthaste_model::{Address, Text};

/// Allows any value.
const ANY: &str = "*";

/// The mailboxes and display names that orders of a key may use as sender. Empty by default: such orders are sent
/// from the installation's own address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SendAs {
    /// `name@example.org`, `*@example.org` for all of a domain, or `*` for any; for both From and Reply-To.
    pub mailboxes: Vec<Address>,
    /// Display names, or `*` for any.
    pub names: Vec<Text>,
}

impl SendAs {
    /// Any mailbox and any name.
    #[must_use]
    pub fn any() -> Self {
        Self { mailboxes: vec![Address::new(ANY)], names: vec![Text::new(ANY)] }
    }

    /// Whether any mailbox is allowed.
    #[must_use]
    pub fn allows_any_mailbox(&self) -> bool {
        self.mailboxes.iter().any(|one| one.expose() == ANY)
    }

    /// Whether the mailbox may be used in From or Reply-To. Ignores case.
    #[must_use]
    pub fn allows_mailbox(&self, mailbox: &str) -> bool {
        let domain = mailbox.rsplit_once('@').map_or("", |(_, domain)| domain);
        self.mailboxes.iter().map(Address::expose).any(|allowed| match allowed.strip_prefix("*@") {
            Some(whole) => whole.eq_ignore_ascii_case(domain),
            None => allowed == ANY || allowed.eq_ignore_ascii_case(mailbox),
        })
    }

    /// Whether the name may be shown to recipients. Case-sensitive.
    #[must_use]
    pub fn allows_name(&self, name: &str) -> bool {
        self.names.iter().map(Text::expose).any(|allowed| allowed == ANY || allowed == name)
    }

    /// The mailboxes as stored in the record: one per line.
    pub(crate) fn mailbox_lines(&self) -> String {
        self.mailboxes.iter().map(Address::expose).collect::<Vec<_>>().join("\n")
    }

    /// The names as stored in the record: one per line.
    pub(crate) fn name_lines(&self) -> String {
        self.names.iter().map(Text::expose).collect::<Vec<_>>().join("\n")
    }

    /// Reads the fields of a record.
    pub(crate) fn read(mailboxes: &str, names: &str) -> Self {
        Self {
            mailboxes: mailboxes.lines().map(Address::new).collect(),
            names: names.lines().map(Text::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_allowed() {
        let none = SendAs::default();
        assert!(!none.allows_mailbox("intern@example.org") && !none.allows_name("Intern"));
        let some = SendAs::read("intern@example.org\n*@news.example.org", "Intern\nNews");
        for (mailbox, allowed) in [
            ("intern@example.org", true),
            ("Intern@Example.org", true),
            ("boss@example.org", false),
            ("anyone@news.example.org", true),
            ("anyone@more.news.example.org", false),
            ("*@news.example.org", true),
            ("news.example.org", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(some.allows_mailbox(mailbox), allowed, "{mailbox}");
        }
        assert!(some.allows_name("News") && !some.allows_name("news") && !some.allows_name(""));
        assert_eq!(SendAs::read(&some.mailbox_lines(), &some.name_lines()), some);
        let any = SendAs::any();
        assert!(
            any.allows_mailbox("boss@example.org") && any.allows_name("Boss") && any.allows_any_mailbox()
        );
        assert!(!format!("{some:?}").contains("intern@"), "addresses print masked");
    }
}
