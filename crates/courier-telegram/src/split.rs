//! Splits texts into parts of at most 4,096 UTF-16 units, by the rule that acceptance counts parts with
//! ([`posthaste_model::text_parts`]).

use std::fmt;

use posthaste_model::text_limit::TELEGRAM_UNITS;
use posthaste_model::text_parts::spans;
pub use posthaste_model::text_parts::units_of;
use teloxide::types::MessageEntity;

/// Maximum length of one message, in UTF-16 units.
pub const LIMIT: usize = TELEGRAM_UNITS;

/// One part. `Debug` does not show its text.
#[derive(Clone, PartialEq, Eq)]
pub struct TextPart {
    /// The text: neither empty nor blank, without white space at either end.
    pub text: String,
    /// The formatting, in UTF-16 units from the start of the part.
    pub entities: Vec<MessageEntity>,
}

impl fmt::Debug for TextPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part({}, {} entities)", self.text.len(), self.entities.len())
    }
}

/// Splits a text and its formatting (in UTF-16 units from its start) into parts of at most `limit` units (at least 2). White
/// space at the ends of parts is dropped, and so are blank parts: a blank text has no parts.
#[must_use]
pub fn split(text: &str, entities: &[MessageEntity], limit: usize) -> Vec<TextPart> {
    let part =
        |text: &str, from| TextPart { text: text.to_owned(), entities: clip(entities, from, units_of(text)) };
    spans(text, limit).into_iter().map(|span| part(span.text, span.units_before)).collect()
}

/// The formatting of `length` units from `start`.
fn clip(entities: &[MessageEntity], start: usize, length: usize) -> Vec<MessageEntity> {
    let end = start + length;
    let clipped = entities.iter().filter_map(|entity| {
        let from = entity.offset.max(start);
        let to = entity.offset.saturating_add(entity.length).min(end);
        (from < to).then(|| MessageEntity { offset: from - start, length: to - from, ..entity.clone() })
    });
    clipped.collect()
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
