//! Deserializes the caller's type from the merged table.
//!
//! figment's own deserializer cannot be used: it guesses the type of a variable from its text (a password of digits becomes a
//! number), repeats refused values in its messages (even passwords), and accepts unknown keys unless the type forbids them.
//! This one lets the type decide, repeats no text, and refuses every unknown key.

use std::collections::btree_map;
use std::fmt::Display;
use std::slice;

use figment::value::{Num, Tag, Value};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};

/// What is wrong, and with which value.
#[derive(Debug)]
pub(super) struct Problem {
    /// The parts of the dotted key.
    pub(super) path: Vec<String>,
    /// The invalid value; `None` if it is missing.
    pub(super) tag: Option<Tag>,
    pub(super) fault: Fault,
}

/// The kinds of problem, by their texts.
#[derive(Debug)]
pub(super) enum Fault {
    /// The setting is not set.
    Missing,
    /// The setting does not exist; the text names the settings that do.
    Unknown(String),
    /// A text that does not repeat the value.
    Plain(String),
    /// A text from the setting's type, which may repeat the value.
    Quoting(String),
}

impl Problem {
    fn new(fault: Fault) -> Self {
        Self { path: Vec::new(), tag: None, fault }
    }

    fn at(mut self, key: &str, tag: Tag) -> Self {
        self.path.insert(0, key.to_owned());
        if !matches!(self.fault, Fault::Missing) {
            self.tag.get_or_insert(tag);
        }
        self
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fault {
            Fault::Missing => f.write_str("missing"),
            Fault::Unknown(text) | Fault::Plain(text) | Fault::Quoting(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Problem {}

/// The kind of value found, without its content: texts may be secrets.
fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Str(_) | Unexpected::Char(_) => "text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

fn known(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl de::Error for Problem {
    fn custom<T: Display>(text: T) -> Self {
        Self::new(Fault::Quoting(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Fault::Plain(format!("expected {expected}, found {}", kind(&found))))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => {
                Fault::Quoting(format!("expected {expected}, found {found}"))
            }
            _ => Fault::Plain(format!("expected {expected}, found other {}", kind(&found))),
        })
    }

    fn invalid_length(found: usize, expected: &dyn de::Expected) -> Self {
        Self::new(Fault::Plain(format!("expected {expected}, found {found} values")))
    }

    fn unknown_variant(found: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(Fault::Quoting(format!("unknown value {found:?}; allowed here: {}", known(allowed))))
    }

    fn unknown_field(_: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(Fault::Unknown(format!("unknown key; known here: {}", known(allowed))))
    }

    fn missing_field(name: &'static str) -> Self {
        Self { path: vec![name.to_owned()], tag: None, fault: Fault::Missing }
    }
}

/// Deserializes one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    value: &'a Value,
    /// The keys of the table that contains the value, for the message about an unknown key.
    siblings: &'static [&'static str],
    /// Keys of this table that are ignored if its type does not know them.
    elsewhere: &'a [&'static str],
    /// Whether a value came as text, whatever the type of its setting.
    is_text: &'a dyn Fn(Tag) -> bool,
}

impl<'a> Reader<'a> {
    /// Reads a whole table of settings; `elsewhere` are the sections that may belong to another process.
    pub(super) fn new(
        value: &'a Value,
        elsewhere: &'a [&'static str],
        is_text: &'a dyn Fn(Tag) -> bool,
    ) -> Self {
        Self { value, siblings: &[], elsewhere, is_text }
    }

    /// The text of a value that came from a variable or flag.
    fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::String(tag, text) if (self.is_text)(*tag) => Some(text),
            _ => None,
        }
    }

    fn inside(self, value: &'a Value, siblings: &'static [&'static str]) -> Self {
        Self { value, siblings, elsewhere: &[], ..self }
    }

    fn table<'de, V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.value {
            Value::Dict(_, dict) => {
                visitor.visit_map(Table { reader: self, fields, left: dict.iter(), value: None })
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn whole<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Some(text) = self.text() else { return self.deserialize_any(visitor) };
        match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => self.deserialize_any(visitor),
        }
    }

    fn fraction<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.text().map(str::parse::<f64>) {
            Some(Ok(number)) if number.is_finite() => visitor.visit_f64(number),
            _ => self.deserialize_any(visitor),
        }
    }
}

macro_rules! forward {
    ($($method:ident)* => $to:ident) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.$to(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::String(_, text) => visitor.visit_str(text),
            Value::Char(_, character) => visitor.visit_char(*character),
            Value::Bool(_, truth) => visitor.visit_bool(*truth),
            Value::Num(_, number) => visit_number(*number, visitor),
            Value::Empty(..) => visitor.visit_unit(),
            Value::Dict(..) => self.table(&[], visitor),
            Value::Array(_, items) => visitor.visit_seq(List { reader: self, left: items.iter(), index: 0 }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.text() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    forward! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 => whole
    }
    forward! { deserialize_f32 deserialize_f64 => fraction }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::Empty(..) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// In a variable or flag, the items of a list are separated by commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Some(text) = self.text() else { return self.deserialize_any(visitor) };
        let word = |word: &str| Value::String(self.value.tag(), word.trim().to_owned());
        let words: Vec<Value> = text.split(',').map(word).collect();
        visitor.visit_seq(List { reader: self, left: words.iter(), index: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.table(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.value {
            Value::String(_, text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Dict(_, dict) => {
                let table = Table { reader: self, fields: &[], left: dict.iter(), value: None };
                visitor.visit_enum(MapAccessDeserializer::new(table))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    /// Called for a key that the type does not know: refused, with or without `deny_unknown_fields`.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Problem> {
        Err(de::Error::unknown_field("", self.siblings))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: Num, visitor: V) -> Result<V::Value, Problem> {
    let unsigned = number.to_u128().and_then(|number| u64::try_from(number).ok());
    let signed = number.to_i128().and_then(|number| i64::try_from(number).ok());
    match (unsigned, signed, number.to_f64()) {
        (Some(number), _, _) => visitor.visit_u64(number),
        (_, Some(number), _) => visitor.visit_i64(number),
        (_, _, Some(number)) => visitor.visit_f64(number),
        _ => Err(Problem::new(Fault::Plain("the number is too large".to_owned()))),
    }
}

/// The keys and values of a table.
struct Table<'a> {
    reader: Reader<'a>,
    fields: &'static [&'static str],
    left: btree_map::Iter<'a, String, Value>,
    value: Option<(&'a str, &'a Value)>,
}

impl<'de> de::MapAccess<'de> for Table<'_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let (fields, elsewhere) = (self.fields, self.reader.elsewhere);
        let is_ours = |key: &str| fields.contains(&key) || !elsewhere.contains(&key);
        let Some((key, value)) = self.left.by_ref().find(|(key, _)| is_ours(key)) else { return Ok(None) };
        self.value = Some((key, value));
        let key_reader: StrDeserializer<'_, Problem> = key.as_str().into_deserializer();
        seed.deserialize(key_reader).map(Some).map_err(|problem| problem.at(key, value.tag()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was requested before its key"));
        };
        let reader = self.reader.inside(value, self.fields);
        seed.deserialize(reader).map_err(|problem| problem.at(key, value.tag()))
    }
}

/// The items of a list.
struct List<'a> {
    reader: Reader<'a>,
    left: slice::Iter<'a, Value>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for List<'_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(value) = self.left.next() else { return Ok(None) };
        let key = self.index.to_string();
        self.index += 1;
        let reader = self.reader.inside(value, &[]);
        seed.deserialize(reader).map(Some).map_err(|problem| problem.at(&key, value.tag()))
    }
}
