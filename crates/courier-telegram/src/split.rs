//! Splits texts into parts of at most 4,096 UTF-16 units, at the end of a paragraph, a line or a word, and never inside a
//! grapheme.
//!
//! A text has the same parts at every attempt, because the progress of a message counts them. A change of the rules here can
//! therefore corrupt messages that are half sent while it is installed.

use std::collections::HashSet;
use std::fmt;

use teloxide::types::MessageEntity;
use unicode_segmentation::UnicodeSegmentation;

/// Maximum length of one message, in UTF-16 units.
pub const LIMIT: usize = 4096;

/// How many bytes past the limit are examined to find the end of a grapheme.
const AHEAD: usize = 1024;

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
    let mut parts = Vec::new();
    let (mut at, mut units) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let blank: usize = rest.graphemes(true).take_while(|letter| is_blank(letter)).map(str::len).sum();
        let rest = &rest[blank..];
        (at, units) = (at + blank, units + units_of(&text[at..at + blank]));
        let end = cut(rest, limit.max(2));
        let whole = &rest[..end];
        let part = trim_end(whole);
        if !part.is_empty() {
            let entities = clip(entities, units, units_of(part));
            parts.push(TextPart { text: part.to_owned(), entities });
        }
        (at, units) = (at + end, units + units_of(whole));
    }
    parts
}

/// The length of a text in UTF-16 units.
#[must_use]
pub fn units_of(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn is_blank(letter: &str) -> bool {
    letter.chars().all(char::is_whitespace)
}

fn trim_end(text: &str) -> &str {
    let blank: usize = text.graphemes(true).rev().take_while(|letter| is_blank(letter)).map(str::len).sum();
    &text[..text.len() - blank]
}

/// The end of the text's first part, in bytes; more than 0 if there is any text.
fn cut(text: &str, limit: usize) -> usize {
    let mut units = 0;
    let fits = text.char_indices().find(|(_, letter)| {
        units += letter.len_utf16();
        units > limit
    });
    let Some((most, _)) = fits else { return text.len() };
    let mut seen = (most + AHEAD).min(text.len());
    while !text.is_char_boundary(seen) {
        seen -= 1;
    }
    let seen = &text[..seen];
    let words: HashSet<usize> = seen.split_word_bound_indices().map(|(at, _)| at).collect();
    let [mut paragraph, mut line, mut space, mut word, mut any] = [0; 5];
    let mut lines = None;
    for (at, letter) in seen.grapheme_indices(true).take_while(|(at, _)| *at <= most) {
        any = at;
        if words.contains(&at) {
            word = at;
        }
        if !is_blank(letter) {
            lines = None;
            continue;
        }
        space = at;
        if letter.contains('\n') {
            line = at;
            match lines {
                Some(first) => paragraph = first,
                None => lines = Some(at),
            }
        }
    }
    let good = [paragraph, line, space, word].into_iter().find(|at| *at >= most / 2 && *at > 0);
    match good {
        Some(at) => at,
        None if any > 0 => any,
        // A single grapheme longer than a whole message.
        None => most,
    }
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
