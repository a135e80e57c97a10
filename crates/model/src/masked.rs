//! Personal data that must not be printed: these types are masked wherever they are formatted.

use std::fmt;

/// An address on a channel: a mailbox, a phone number, a chat. Formatted as its first character, `***` and its length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

/// The text of a message. Formatted as its length.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(String);

impl Address {
    /// Wraps an address without validation; channels validate their own.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self(address.into())
    }

    /// The address itself, only for the request to the provider.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Text {
    /// Wraps a text without validation.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, only for the request to the provider.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.chars().next() {
            Some(first) if first.is_alphanumeric() || first == '+' => {
                write!(f, "{first}***({})", self.0.len())
            }
            _ => write!(f, "***({})", self.0.len()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_texts_print_masked() {
        let address = Address::new("canary@example.org");
        let text = Text::new("meet me at nine");
        let shown = format!("{address:?} {address} {text:?}");
        assert_eq!(shown, "c***(18) c***(18) text(15)");
    }
}
