//! Texts and names: allowed characters, maximum length, and whether anything is visible.

use posthaste_model::line::{MAX_NAME, MAX_SUBJECT, is_line, is_visible};

use super::validation_error::{ValidationCode, ValidationError};

/// Maximum characters of an order's source.
const MOST_SOURCE: usize = 256;

/// A message text: something visible; line breaks and tabs are allowed, other control characters are not.
pub(crate) fn message(text: &str, most: usize, pointer: &str) -> Result<(), ValidationError> {
    let most = length(text, most, pointer)?;
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(controls(pointer));
    }
    if !text.chars().any(is_visible) {
        let detail = format!("must be 1 to {most} characters, some of them visible");
        return Err(ValidationError::new(pointer, ValidationCode::EmptyText, detail));
    }
    Ok(())
}

/// A subject: one line, because it becomes a header.
pub(crate) fn subject(text: &str, pointer: &str) -> Result<(), ValidationError> {
    line(text, MAX_SUBJECT, pointer)
}

/// A person's name: one line, because it becomes a header.
pub(crate) fn name(text: &str, pointer: &str) -> Result<(), ValidationError> {
    line(text, MAX_NAME, pointer)
}

/// Where an order came from, in the client's words.
pub(crate) fn source(text: &str, pointer: &str) -> Result<(), ValidationError> {
    line(text, MOST_SOURCE, pointer)
}

fn line(text: &str, most: usize, pointer: &str) -> Result<(), ValidationError> {
    length(text, most, pointer)?;
    if is_line(text) { Ok(()) } else { Err(controls(pointer)) }
}

fn length(text: &str, most: usize, pointer: &str) -> Result<usize, ValidationError> {
    if text.len() > most && text.chars().count() > most {
        return Err(ValidationError::new(
            pointer,
            ValidationCode::TooLong,
            format!("must be at most {most} characters"),
        ));
    }
    Ok(most)
}

fn controls(pointer: &str) -> ValidationError {
    ValidationError::new(pointer, ValidationCode::InvalidText, "must not contain control characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(text: &str) -> Option<ValidationCode> {
        message(text, 100, "/text").err().map(|field_error| field_error.code)
    }

    #[test]
    fn a_text_without_visible_characters_is_refused() {
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
            assert_eq!(reported(empty), Some(ValidationCode::EmptyText), "{empty:?}");
        }
        for full in ["a", "\u{202e}abc", "😀", "ы\u{301}\u{301}\u{301}", ".", "a\nb\tc\r\n.\r\n"] {
            assert_eq!(reported(full), None, "{full:?}");
        }
    }

    #[test]
    fn control_characters_and_overlong_texts_are_refused() {
        for bad in ["a\0", "a\u{1b}[31m", "a\u{7f}", "a\u{85}"] {
            assert_eq!(reported(bad), Some(ValidationCode::InvalidText), "{bad:?}");
        }
        assert_eq!(reported(&"ы".repeat(100)), None);
        assert_eq!(reported(&"ы".repeat(101)), Some(ValidationCode::TooLong));
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
