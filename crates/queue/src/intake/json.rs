//! Parses JSON and reports errors by place and code, never by the text of the input.

use posthaste_model::channels;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_path_to_error::{Path, Segment};

use super::validation_error::{Unread, ValidationCode, ValidationError};

/// Maximum nesting depth. Typed parsing stops there by itself; skipped values do not.
const DEEPEST: usize = 100;

/// Parses one JSON object. The fast way first; only input that fails is parsed again, to find the place.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unread> {
    let text = std::str::from_utf8(json).map_err(|_| malformed("the body is not UTF-8"))?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        let field_error = ValidationError::new("", ValidationCode::NotAnObject, "must be a JSON object");
        return Err(Unread::Malformed(field_error));
    }
    if is_deep(text.as_bytes()) {
        return Err(malformed("the JSON is nested too deeply"));
    }
    serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))
}

/// Parses one JSON object that is part of a body: anything else has the wrong type there.
pub(crate) fn part<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unread> {
    object(json).map_err(|unread| match unread {
        Unread::Malformed(field_error) if field_error.code == ValidationCode::NotAnObject => {
            match serde_json::from_slice::<IgnoredAny>(json) {
                Ok(_) => Unread::Misshapen(ValidationError::new(
                    "",
                    ValidationCode::WrongType,
                    "must be a JSON object",
                )),
                Err(_) => malformed("not valid JSON"),
            }
        }
        other => other,
    })
}

/// Whether anything is nested deeper than [`DEEPEST`].
fn is_deep(text: &[u8]) -> bool {
    let opening = |byte: &&u8| matches!(byte, b'[' | b'{');
    if text.iter().filter(opening).count() <= DEEPEST {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

fn malformed(detail: &'static str) -> Unread {
    Unread::Malformed(ValidationError::new("", ValidationCode::MalformedJson, detail))
}

/// Place and error: the first pass reported only line and column.
fn explain<'a, T: Deserialize<'a>>(text: &'a str, first: &serde_json::Error) -> Unread {
    let reader = &mut serde_json::Deserializer::from_str(text);
    let (path, around, error) = match serde_path_to_error::deserialize::<_, T>(reader) {
        Ok(_) => (String::new(), String::new(), None),
        Err(error) => (pointer(error.path()), around(error.path()), Some(error.into_inner())),
    };
    // Text after a complete object is only detected by the first pass.
    let error = error.as_ref().unwrap_or(first);
    let reported = error.to_string();
    if reported.starts_with("duplicate field") {
        return Unread::Malformed(ValidationError::new(
            path,
            ValidationCode::DuplicateKey,
            "a name appears twice in one object",
        ));
    }
    if reported.starts_with("number out of range") {
        return Unread::Misshapen(ValidationError::new(
            path,
            ValidationCode::OutOfRange,
            "the number is out of range",
        ));
    }
    if reported.starts_with("expected value") && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        // A value from a fixed list was expected, but something else was given.
        return Unread::Misshapen(ValidationError::new(
            path,
            ValidationCode::WrongType,
            "must be one of the allowed values",
        ));
    }
    if !error.is_data() {
        let detail = format!("not valid JSON at line {}, column {}", error.line(), error.column());
        return Unread::Malformed(ValidationError::new("", ValidationCode::MalformedJson, detail));
    }
    let (code, detail) = shape(&reported);
    let path = if code == ValidationCode::UnknownField { around } else { path };
    Unread::Misshapen(ValidationError::new(path, code, detail))
}

/// Whether a name from outside may be repeated: letters and underscores only, so no address, number or token.
pub(crate) fn is_field_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Translates serde's error: our words, and the part of serde's text that says what was expected.
fn shape(reported: &str) -> (ValidationCode, String) {
    let reported = reported.rsplit_once(" at line ").map_or(reported, |(reported, _)| reported);
    let expected = reported.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
    if reported.starts_with("unknown field") {
        return (ValidationCode::UnknownField, "unknown field".to_owned());
    }
    if reported.starts_with("unknown variant") {
        return (ValidationCode::UnknownValue, expected.to_owned());
    }
    if reported.starts_with("too many names") {
        return (ValidationCode::TooMany, "too many names".to_owned());
    }
    (ValidationCode::WrongType, expected.to_owned())
}

/// The pointer to an unknown field. Its name is the client's own text: it is shown only if it looks like the name of a
/// field; otherwise the pointer is that of the object around it.
fn around(path: &Path) -> String {
    let segments: Vec<_> = path.iter().collect();
    let Some((last, before)) = segments.split_last() else { return String::new() };
    let mut out = of_segments(before.iter().copied());
    // Unless the names before it had to be left out.
    if let Segment::Map { key } = last
        && is_field_name(key)
        && out.matches('/').count() == before.len()
    {
        out.push('/');
        out.push_str(key);
    }
    out
}

/// The pointer, as far as its names are ours: the rest is the client's own text.
fn pointer(path: &Path) -> String {
    of_segments(path.iter())
}

fn of_segments<'p>(segments: impl Iterator<Item = &'p Segment>) -> String {
    let mut out = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                out.push('/');
                out.push_str(key);
            }
            _ => break,
        }
    }
    // Below these, the names are channels. Only the names of listed ones may be shown.
    for parent in ["/contacts", "/overrides"] {
        if let Some(at) = out.find(parent).map(|at| at + parent.len())
            && let Some(name) =
                out[at..].strip_prefix('/').map(|rest| rest.split('/').next().unwrap_or_default())
            && channels::find(name).is_none()
        {
            out.truncate(at);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intake::order::{OrderBody, RecipientBody};

    fn reported<'a, T: Deserialize<'a>>(json: &'a [u8]) -> (bool, String, ValidationCode) {
        match object::<T>(json) {
            Ok(_) => panic!("it was read"),
            Err(Unread::Malformed(field_error)) => (true, field_error.pointer, field_error.code),
            Err(Unread::Misshapen(field_error)) => (false, field_error.pointer, field_error.code),
        }
    }

    #[test]
    fn anything_but_a_json_object_is_malformed() {
        let deep = |field| format!("{{\"{field}\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let (deep, deeper) = (deep("metadata"), deep("recipients"));
        let cases: &[&[u8]] = &[
            b"",
            b" ",
            b"null",
            b"[]",
            b"\"text\"",
            b"1",
            b"{",
            b"{\"text\":\"a\"} x",
            b"{\"text\":\"a\"}{\"text\":\"a\"}",
            b"\xef\xbb\xbf{\"text\":\"a\"}",
            b"{\"text\":\"\\ud800\"}",
            b"{\"text\":\"\xc0\xaf\"}",
            b"{\"text\":\"\xff\"}",
            b"{\"text\":\"a\0\"}",
            b"{\"text\":NaN}",
            b"{'text':'a'}",
            deep.as_bytes(),
            deeper.as_bytes(),
        ];
        for case in cases {
            let (malformed, _, code) = reported::<OrderBody<'_>>(case);
            let known = matches!(code, ValidationCode::MalformedJson | ValidationCode::NotAnObject);
            assert!(malformed && known, "{}", String::from_utf8_lossy(&case[..case.len().min(60)]));
        }
    }

    #[test]
    fn a_repeated_name_is_malformed() {
        for (json, place) in [
            ("{\"text\":\"a\",\"text\":\"b\"}", ""),
            ("{\"overrides\":{\"sms\":{},\"sms\":{}}}", "/overrides"),
            ("{\"sender\":{\"id\":\"a\",\"id\":\"b\"}}", "/sender"),
        ] {
            let (malformed, pointer, code) = reported::<OrderBody<'_>>(json.as_bytes());
            assert_eq!((malformed, code), (true, ValidationCode::DuplicateKey), "{json}");
            assert!(pointer.starts_with(place), "{json}: {pointer}");
        }
        let json = b"{\"contacts\":{\"email\":[],\"email\":[]}}";
        assert_eq!(reported::<RecipientBody<'_>>(json).2, ValidationCode::DuplicateKey);
    }

    #[test]
    fn invalid_fields_are_named_by_place() {
        for (json, place, code) in [
            ("{\"admin\":true}", "/admin", ValidationCode::UnknownField),
            ("{\"a@b.example\":true}", "", ValidationCode::UnknownField),
            ("{\"+79991234567\":true}", "", ValidationCode::UnknownField),
            ("{\"a/b\":true}", "", ValidationCode::UnknownField),
            ("{\"text\":5}", "/text", ValidationCode::WrongType),
            ("{\"priority\":\"fast\"}", "/priority", ValidationCode::UnknownValue),
            ("{\"priority\":1}", "/priority", ValidationCode::WrongType),
            ("{\"sender\":{\"fence\":9}}", "/sender/fence", ValidationCode::UnknownField),
            ("{\"deliver_at\":1795000000}", "/deliver_at", ValidationCode::WrongType),
            ("{\"recipients\":{}}", "/recipients", ValidationCode::WrongType),
            ("{\"channels\":[\"email\",7]}", "/channels/1", ValidationCode::WrongType),
        ] {
            assert_eq!(reported::<OrderBody<'_>>(json.as_bytes()), (false, place.to_owned(), code), "{json}");
        }
        for (json, place, code) in [
            ("{\"contacts\":{\"telegram\":[1.0]}}", "/contacts/telegram/0", ValidationCode::WrongType),
            ("{\"contacts\":{\"telegram\":[-0]}}", "/contacts/telegram/0", ValidationCode::WrongType),
            ("{\"contacts\":{\"telegram\":[1e400]}}", "/contacts/telegram/0", ValidationCode::OutOfRange),
            (
                "{\"contacts\":{\"telegram\":[18446744073709551615]}}",
                "/contacts/telegram/0",
                ValidationCode::OutOfRange,
            ),
            ("{\"contacts\":{\"email\":\"a@example.org\"}}", "/contacts/email", ValidationCode::WrongType),
            ("{\"contacts\":{\"email\":[null]}}", "/contacts/email/0", ValidationCode::WrongType),
        ] {
            assert_eq!(
                reported::<RecipientBody<'_>>(json.as_bytes()),
                (false, place.to_owned(), code),
                "{json}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_of_the_input_is_in_the_error(
            shape in 0..9_usize,
            name in "canary[a-z]{4}",
        ) {
            let json = match shape {
                0 => format!("{{\"{name}@example.org\":1}}"),
                1 => format!("{{\"priority\":\"{name}\"}}"),
                2 => format!("{{\"text\":[\"{name}\"]}}"),
                3 => format!("{{\"sender\":\"{name}\"}}"),
                4 => format!("{{\"channels\":\"{name}\"}}"),
                5 => format!("{{\"text\":\"{name}"),
                6 => format!("{{\"{name}7\":1}}"),
                7 => format!("{{\"overrides\":{{\"{name}\":[]}}}}"),
                _ => format!("{{\"overrides\":{{\"{name} x\":{{\"text\":5}}}}}}"),
            };
            let unread = object::<OrderBody<'_>>(json.as_bytes()).err();
            let reported = format!("{unread:?}");
            prop_assert!(!reported.contains(&name), "{}", reported);
        }

        #[test]
        fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\",:a-z0-9\\\\]{0,60}") {
            let _ = object::<OrderBody<'_>>(&bytes).is_ok();
            let _ = object::<RecipientBody<'_>>(text.as_bytes()).is_ok();
        }
    }
}
