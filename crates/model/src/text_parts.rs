//! Cuts long texts into parts of a limited number of UTF-16 units, at the end of a paragraph, a line or a word, and never
//! inside a grapheme.
//!
//! A text has the same parts at every attempt, because the progress of a message counts them. A change of the rules here
//! can therefore corrupt messages that are half sent while it is installed.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

/// How many bytes past the limit are examined to find the end of a grapheme.
const AHEAD: usize = 1024;

/// One part of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// The text: neither empty nor blank, without white space at either end. No `Debug`, because it is what people are sent.
    pub text: &'a str,
    /// How many UTF-16 units of the whole text come before it.
    pub units_before: usize,
}

/// Cuts a text into parts of at most `limit` units (at least 2). White space at the ends of parts is dropped, and so are
/// blank parts: a blank text has no parts.
#[must_use]
pub fn spans(text: &str, limit: usize) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
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
            spans.push(Span { text: part, units_before: units });
        }
        (at, units) = (at + end, units + units_of(whole));
    }
    spans
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
