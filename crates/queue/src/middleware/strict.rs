//! Strict JSON parsing: one object, no repeated name, no NUL, no unknown field; places are given as JSON pointers.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Segment;

use crate::problem::{Code, Problem, Violation};

/// Parses one JSON object.
///
/// # Errors
/// `malformed_json` (400) if it is not one object or repeats a name; `validation_failed` (422) if a field is unknown,
/// missing, has the wrong type, or contains a NUL.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(malformed("the body begins with a byte order mark"));
    }
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(malformed("the body is not a JSON object"));
    }
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let walked = Walk { found: &mut found }.deserialize(&mut reader).and_then(|()| reader.end());
    if found.twice {
        return Err(malformed("a name appears twice in one object"));
    }
    walked.map_err(|error| syntax(&error))?;
    if found.nul {
        return Err(invalid(Violation::at("", "nul", "texts must not contain U+0000")));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let code = code_of(error.inner());
        let mut place = pointer(error.path());
        // The name of an unknown field is the client's own text: report the object that contains it.
        if code == "unknown_field" {
            place.truncate(place.rfind('/').unwrap_or(0));
        }
        invalid(Violation::at(place, code, rule_of(error.inner())))
    })
}

fn malformed(detail: &'static str) -> Problem {
    Problem::new(Code::MalformedJson, detail)
}

fn invalid(violation: Violation) -> Problem {
    Problem::new(Code::ValidationFailed, "a field of the body is invalid").with_errors([violation])
}

fn syntax(error: &serde_json::Error) -> Problem {
    if error.to_string().starts_with("number out of range") {
        return invalid(Violation::at("", "out_of_range", "a number is out of range"));
    }
    let detail = format!("not valid JSON at line {}, column {}", error.line(), error.column());
    Problem::new(Code::MalformedJson, detail)
}

/// The stable word for an error of serde.
fn code_of(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    if text.starts_with("unknown field") {
        "unknown_field"
    } else if text.starts_with("missing field") {
        "required"
    } else if text.starts_with("unknown variant") {
        "unknown_value"
    } else if text.starts_with("invalid type") {
        "wrong_type"
    } else {
        "invalid"
    }
}

/// What serde expected, without what it found, which is the client's own data.
fn rule_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    // The last occurrence is serde's own: an earlier one may be in a text of the client.
    match (text.rfind(", expected "), text.starts_with("missing field")) {
        (Some(at), _) => text[at + 2..].to_owned(),
        (None, true) => text.to_owned(),
        (None, false) => "not valid here".to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut out = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                out.push('/');
                out.push_str(key);
            }
            _ => out.push_str("/?"),
        }
    }
    out
}

/// What the walk found.
#[derive(Default)]
struct Found {
    twice: bool,
    nul: bool,
}

/// Walks any JSON without keeping it.
struct Walk<'f> {
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found.nul |= text.contains('\0');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk { found: &mut *self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.found.nul |= key.contains('\0');
            self.found.twice |= !seen.insert(key);
            entries.next_value_seed(Walk { found: &mut *self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its reading is tested")]
        count: u32,
        #[serde(default)]
        list: Vec<Item>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[expect(dead_code, reason = "only its reading is tested")]
        name: String,
    }

    fn read(text: &str) -> (Code, Vec<Violation>) {
        let problem = object::<Sample>(text.as_bytes()).expect_err(text);
        (problem.code(), problem.errors().to_vec())
    }

    #[test]
    fn anything_but_a_single_object_is_malformed() {
        let deep = format!("{{\"count\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{} {}",
            "{",
            "\u{feff}{\"count\":1}",
            "{\"count\":\"\\ud800\"}",
            "{\"count\":1,\"count\":2}",
            "{\"count\":1,\"list\":[{\"name\":\"a\",\"name\":\"b\"}]}",
            "{\"count\":NaN}",
            &deep,
        ] {
            assert_eq!(read(text).0, Code::MalformedJson, "{text:.40}");
        }
        let broken = object::<Sample>(b"{\"count\":\"\xff\"}").expect_err("not UTF-8");
        assert_eq!(broken.code(), Code::MalformedJson);
    }

    #[test]
    fn invalid_fields_are_named_by_pointer_without_their_value() {
        for (text, place, code) in [
            ("{\"count\":1.0}", "/count", "wrong_type"),
            ("{\"count\":-1}", "/count", "invalid"),
            ("{\"count\":1e400}", "", "out_of_range"),
            ("{\"count\":1,\"admin\":true}", "", "unknown_field"),
            ("{}", "", "required"),
            ("{\"count\":1,\"list\":[{\"name\":\"a\"},{\"name\":7}]}", "/list/1/name", "wrong_type"),
            ("{\"count\":1,\"list\":[{\"name\":\"a\\u0000\"}]}", "", "nul"),
        ] {
            let (found, errors) = read(text);
            assert_eq!(found, Code::ValidationFailed, "{text}");
            assert_eq!((errors[0].pointer.as_deref(), errors[0].code), (Some(place), code), "{text}");
        }
        let (_, errors) = read("{\"count\":\"canary\"}");
        assert!(!errors[0].detail.contains("canary"), "{errors:?}");
        for text in [
            "{\"count\":\"a, expected canary\"}",
            "{\"a, expected canary\":1}",
            "{\"count\":\", expected canary at line \"}",
        ] {
            let (_, errors) = read(text);
            assert!(!errors[0].detail.contains("canary"), "{errors:?}");
            assert!(!errors[0].detail.is_empty());
        }
        assert!(object::<Sample>(b" {\"count\":3}").unwrap().list.is_empty());
    }
}
