//! The entries of rules that are more than a word: patterns for numbers and codes, and reasons by their names.

use posthaste_model::Reason;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::response::EnhancedCode;

/// A number as written in tables: `429`, or `5xx` with x for any digit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

/// An invalid entry of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Not a pattern.
    #[error("{0:?} is not a valid number: use digits, and x for any digit")]
    Pattern(String),
    /// Not a reason.
    #[error("unknown reason {0:?}")]
    Reason(String),
}

impl TryFrom<String> for Pattern {
    type Error = BadEntry;

    fn try_from(text: String) -> Result<Self, BadEntry> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x');
        if fits { Ok(Self(text)) } else { Err(BadEntry::Pattern(text)) }
    }
}

impl Pattern {
    /// Whether a number matches.
    #[must_use]
    pub fn fits(&self, number: u32) -> bool {
        fits_code(&self.0, &number.to_string())
    }
}

/// Whether a code matches a pattern: x is any digit, everything else is literal.
pub(super) fn fits_code(pattern: &str, code: &str) -> bool {
    let same = |(wanted, is): (u8, u8)| wanted == is || (wanted == b'x' && is.is_ascii_digit());
    pattern.len() == code.len() && pattern.bytes().zip(code.bytes()).all(same)
}

/// Whether an enhanced code (RFC 3463) matches an entry such as `5.1.1`, `5.7.*`, or `none` for a response without one.
pub(super) fn fits_enhanced(entry: &str, found: Option<EnhancedCode>) -> bool {
    let Some((class, subject, detail)) = found else { return entry == "none" };
    let fits = |(wanted, is): (&str, u16)| wanted == "*" || wanted.parse() == Ok(is);
    is_enhanced(entry) && entry.split('.').zip([class, subject, detail]).all(fits)
}

/// Whether an entry for enhanced codes has the form that [`fits_enhanced`] reads.
pub(super) fn is_enhanced(entry: &str) -> bool {
    let is_number = |part: &str| part == "*" || part.parse::<u16>().is_ok();
    entry == "none" || (entry.split('.').count() == 3 && entry.split('.').all(is_number))
}

/// Whether a number matches one of the patterns; no patterns match every number.
#[must_use]
pub fn fits(patterns: &[Pattern], number: u32) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(number))
}

/// A reason by its name.
pub(super) fn reason(word: &str) -> Result<Reason, BadEntry> {
    let known = Reason::ALL.iter().find(|reason| reason.word() == word);
    known.copied().ok_or_else(|| BadEntry::Reason(word.to_owned()))
}

/// For `#[serde(deserialize_with = "…")]` on an `Option<Reason>` with a default.
pub(super) fn read_reason<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reason>, D::Error> {
    let word = String::deserialize(from)?;
    reason(&word).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_numbers() {
        let pattern = |text: &str| Pattern::try_from(text.to_owned());
        assert!(pattern("5xx").unwrap().fits(503) && !pattern("5xx").unwrap().fits(50));
        assert!(!pattern("21211").unwrap().fits(2121) && pattern("21211").unwrap().fits(21211));
        assert!(pattern("").is_err() && pattern("4yy").is_err());
        assert!(fits(&[], 7) && !fits(&[pattern("8").unwrap()], 7));
    }

    #[test]
    fn codes_may_be_words() {
        assert!(fits_code("NO_x", "NO_7") && !fits_code("NO_x", "NO_y") && !fits_code("NO_x", "NO_77"));
        assert!(fits_code("21211", "21211") && !fits_code("2121", "21211"));
    }

    #[test]
    fn enhanced_codes_are_compared_by_their_numbers() {
        assert!(fits_enhanced("5.1.1", Some((5, 1, 1))) && !fits_enhanced("5.1.1", Some((5, 1, 10))));
        assert!(fits_enhanced("5.7.*", Some((5, 7, 26))) && !fits_enhanced("5.7.*", Some((4, 7, 26))));
        assert!(fits_enhanced("none", None) && !fits_enhanced("none", Some((5, 0, 0))));
        assert!(!fits_enhanced("5.7.*", None));
        for entry in ["", "5", "5.1", "5.1.1.1", "5.x.1", "5..1"] {
            assert!(!is_enhanced(entry) && !fits_enhanced(entry, Some((5, 1, 1))), "{entry}");
        }
        assert!(is_enhanced("none") && is_enhanced("5.1.10") && is_enhanced("*.7.*"));
    }

    #[test]
    fn reasons_are_found_by_name() {
        assert_eq!(reason("invalid_address"), Ok(Reason::InvalidAddress));
        assert_eq!(reason("no such"), Err(BadEntry::Reason("no such".to_owned())));
    }
}
