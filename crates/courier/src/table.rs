//! Shared by the tables of providers' answers: patterns for numbers, and reasons by their names.

use posthaste_model::Reason;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A number as written in tables: `429`, or `5xx` with x for any digit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

/// An invalid entry in a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    /// Not a pattern.
    #[error("{0:?} is not a valid number: use digits, and x for any digit")]
    Pattern(String),
    /// Not a reason.
    #[error("unknown reason {0:?}")]
    Reason(String),
}

impl TryFrom<String> for Pattern {
    type Error = BadRules;

    fn try_from(text: String) -> Result<Self, BadRules> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x');
        if fits { Ok(Self(text)) } else { Err(BadRules::Pattern(text)) }
    }
}

impl Pattern {
    /// Whether a number matches.
    #[must_use]
    pub fn fits(&self, number: u32) -> bool {
        let digits = number.to_string();
        let same = |(wanted, digit): (u8, u8)| wanted == b'x' || wanted == digit;
        self.0.len() == digits.len() && self.0.bytes().zip(digits.bytes()).all(same)
    }
}

/// Whether a number matches one of the patterns; no patterns match every number.
#[must_use]
pub fn fits(patterns: &[Pattern], number: u32) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(number))
}

/// A reason by its name.
///
/// # Errors
/// There is no such reason.
pub fn reason(word: &str) -> Result<Reason, BadRules> {
    let known = Reason::ALL.iter().find(|reason| reason.word() == word);
    known.copied().ok_or_else(|| BadRules::Reason(word.to_owned()))
}

/// For `#[serde(deserialize_with = "…")]` on an `Option<Reason>` with a default.
///
/// # Errors
/// There is no such reason.
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
    fn reasons_are_found_by_name() {
        assert_eq!(reason("invalid_address"), Ok(Reason::InvalidAddress));
        assert_eq!(reason("no such"), Err(BadRules::Reason("no such".to_owned())));
    }
}
