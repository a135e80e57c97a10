//! Texts and names: which characters they may hold, how long they may be, and whether there is anything to see.

use super::flaw::{Flaw, FlawCode};

/// Characters of a name at most.
pub(crate) const MOST_NAME: usize = 256;
/// Characters of a subject at most.
const MOST_SUBJECT: usize = 255;
/// Characters that say where an order came from, at most.
const MOST_ORIGIN: usize = 256;

/// A text of a message: something visible, lines and tabs, no other control characters.
pub(crate) fn message(text: &str, most: usize, pointer: &str) -> Result<(), Flaw> {
    let most = length(text, most, pointer)?;
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(controls(pointer));
    }
    if !text.chars().any(is_visible) {
        let detail = format!("a text of 1 to {most} characters with something to see in it");
        return Err(Flaw::new(pointer, FlawCode::EmptyText, detail));
    }
    Ok(())
}

/// A subject: one line; it becomes a header.
pub(crate) fn subject(text: &str, pointer: &str) -> Result<(), Flaw> {
    line(text, MOST_SUBJECT, pointer)
}

/// A name of a person: one line; it becomes a header.
pub(crate) fn name(text: &str, pointer: &str) -> Result<(), Flaw> {
    line(text, MOST_NAME, pointer)
}

/// Where an order came from, in the client's words.
pub(crate) fn origin(text: &str, pointer: &str) -> Result<(), Flaw> {
    line(text, MOST_ORIGIN, pointer)
}

fn line(text: &str, most: usize, pointer: &str) -> Result<(), Flaw> {
    length(text, most, pointer)?;
    // The separators of Unicode end a line as well as its control characters do.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(controls(pointer));
    }
    Ok(())
}

fn length(text: &str, most: usize, pointer: &str) -> Result<usize, Flaw> {
    if text.len() > most && text.chars().count() > most {
        return Err(Flaw::new(pointer, FlawCode::TooLong, format!("{most} characters at most")));
    }
    Ok(most)
}

fn controls(pointer: &str) -> Flaw {
    Flaw::new(pointer, FlawCode::InvalidText, "no control characters")
}

/// Whether there is anything to see of a character: no space, no filler, no mark that only steers others.
pub(crate) fn is_visible(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    !(invisible || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<FlawCode> {
        message(text, 100, "/text").err().map(|flaw| flaw.code)
    }

    #[test]
    fn a_text_without_anything_to_see_is_refused() {
        for empty in [
            "",
            " ",
            "\n\r\t",
            "\u{200b}\u{200b}",
            "\u{202e}\u{202c}",
            "\u{a0}\u{3000}",
            "\u{feff}",
            "\u{2800}",
        ] {
            assert_eq!(told(empty), Some(FlawCode::EmptyText), "{empty:?}");
        }
        for full in ["a", "\u{202e}abc", "😀", "ы\u{301}\u{301}\u{301}", ".", "a\nb\tc\r\n.\r\n"] {
            assert_eq!(told(full), None, "{full:?}");
        }
    }

    #[test]
    fn control_characters_and_too_much_are_refused() {
        for bad in ["a\0", "a\u{1b}[31m", "a\u{7f}", "a\u{85}"] {
            assert_eq!(told(bad), Some(FlawCode::InvalidText), "{bad:?}");
        }
        assert_eq!(told(&"ы".repeat(100)), None);
        assert_eq!(told(&"ы".repeat(101)), Some(FlawCode::TooLong));
    }

    #[test]
    fn subjects_and_names_are_one_line() {
        for bad in ["x\r\nBcc: v@example.org", "x\n y", "x\r", "x\0", "a\u{2028}b", "a\u{85}b"] {
            assert!(subject(bad, "/subject").is_err(), "{bad:?}");
            assert!(name(bad, "/sender/name").is_err(), "{bad:?}");
        }
        assert!(subject("Re: 50 % «для всех» 😀", "/subject").is_ok());
        assert!(name(&"x".repeat(257), "/sender/name").is_err());
    }
}
