//! What tables of providers' answers have in common: patterns of numbers, and reasons by their words.

use posthaste_model::Reason;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A number as tables write it: `429`, or `5xx` with x for any digit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

/// A table has something nobody can follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// Not a pattern.
    #[error("{0:?} is no number: digits, and x for any digit")]
    Pattern(String),
    /// Not a reason.
    #[error("there is no reason {0:?}")]
    Reason(String),
}

impl TryFrom<String> for Pattern {
    type Error = BadTable;

    fn try_from(text: String) -> Result<Self, BadTable> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x');
        if fits { Ok(Self(text)) } else { Err(BadTable::Pattern(text)) }
    }
}

impl Pattern {
    /// Whether a number has this form.
    #[must_use]
    pub fn fits(&self, number: u32) -> bool {
        let digits = number.to_string();
        let same = |(wanted, digit): (u8, u8)| wanted == b'x' || wanted == digit;
        self.0.len() == digits.len() && self.0.bytes().zip(digits.bytes()).all(same)
    }
}

/// Whether a number has one of these forms; none is any.
#[must_use]
pub fn fits(patterns: &[Pattern], number: u32) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(number))
}

/// A reason by its word.
///
/// # Errors
/// The model has none of this word.
pub fn reason(word: &str) -> Result<Reason, BadTable> {
    let known = Reason::ALL.iter().find(|reason| reason.word() == word);
    known.copied().ok_or_else(|| BadTable::Reason(word.to_owned()))
}

/// For `#[serde(deserialize_with = "…")]` on an `Option<Reason>` with a default.
///
/// # Errors
/// The model has none of this word.
pub fn read_reason<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reason>, D::Error> {
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
    fn reasons_are_known_by_their_words() {
        assert_eq!(reason("bad_address"), Ok(Reason::BadAddress));
        assert_eq!(reason("no such"), Err(BadTable::Reason("no such".to_owned())));
    }
}
