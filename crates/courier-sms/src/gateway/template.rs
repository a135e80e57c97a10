//! Templates with placeholders in braces. Form, query and JSON are written by a serializer from whole values, so no
//! text of a message can change the structure of a request.

use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use url::form_urlencoded;

use crate::settings::{BadSetting, BodyFormat};

/// A placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    To,
    ToDigits,
    Text,
    From,
    Attempt,
    Segments,
    Encoding,
    Secret,
    Callback,
}

const NAMES: &[(&str, Name)] = &[
    ("to", Name::To),
    ("to_digits", Name::ToDigits),
    ("text", Name::Text),
    ("from", Name::From),
    ("attempt", Name::Attempt),
    ("segments", Name::Segments),
    ("encoding", Name::Encoding),
    ("secret", Name::Secret),
    ("callback", Name::Callback),
];

/// The values of the placeholders.
#[derive(Default)]
pub(super) struct Values<'a> {
    pub(super) to: &'a str,
    pub(super) text: &'a str,
    pub(super) from: &'a str,
    pub(super) attempt: String,
    pub(super) segments: String,
    pub(super) encoding: &'a str,
    pub(super) secret: &'a str,
    pub(super) callback: String,
}

impl Values<'_> {
    fn get(&self, name: Name) -> &str {
        match name {
            Name::To => self.to,
            Name::ToDigits => self.to.trim_start_matches('+'),
            Name::Text => self.text,
            Name::From => self.from,
            Name::Attempt => &self.attempt,
            Name::Segments => &self.segments,
            Name::Encoding => self.encoding,
            Name::Secret => self.secret,
            Name::Callback => &self.callback,
        }
    }
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Name(Name),
}

/// A text with placeholders.
#[derive(Debug, Clone, Default)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Parses a template. Errors do not show the setting's value: it may contain a secret.
    pub(super) fn read(key: &'static str, text: &str) -> Result<Self, BadSetting> {
        let bad = |why: String| BadSetting::new(key, why);
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{");
            let end =
                end.ok_or_else(|| bad("has an unmatched brace; write a literal brace twice".to_owned()))?;
            let known = NAMES.iter().find(|(known, _)| *known == &rest[..end]);
            let (_, name) = known.ok_or_else(|| {
                let names: Vec<String> = NAMES.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                bad(format!("has an unknown placeholder; allowed are {}", names.join(" ")))
            })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Name(*name));
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub(super) fn fill(&self, values: &Values<'_>) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Name(name) => values.get(*name),
        });
        pieces.collect()
    }

    pub(super) fn names(&self) -> Vec<Name> {
        let names = self.0.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(*name),
            Piece::Text(_) => None,
        });
        names.collect()
    }
}

/// Fields of a form or a query.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs(Vec<(String, Template)>);

impl Pairs {
    /// Parses `a=b&c={text}`; text outside braces is URL-encoded.
    pub(super) fn read(key: &'static str, text: &str) -> Result<Self, BadSetting> {
        let mut pairs = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            pairs.push((name.into_owned(), Template::read(key, &value)?));
        }
        Ok(Self(pairs))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn fill(&self, values: &Values<'_>) -> String {
        let mut filled = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.0 {
            filled.append_pair(name, &value.fill(values));
        }
        filled.finish()
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.0.iter().flat_map(|(_, value)| value.names()).collect()
    }
}

/// JSON with placeholders in its strings.
#[derive(Debug, Clone)]
pub(super) enum Json {
    Plain(Value),
    Text(Template),
    /// The whole string is one placeholder that becomes a number.
    Number(Name),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn read(value: Value) -> Result<Self, BadSetting> {
        let key = "gateway.body";
        Ok(match value {
            Value::String(text) => {
                match text.strip_prefix('{').and_then(|text| text.strip_suffix(":number}")) {
                    Some(name) => match NAMES.iter().find(|(known, _)| *known == name) {
                        Some((_, name @ (Name::ToDigits | Name::Segments))) => Self::Number(*name),
                        _ => {
                            let why = "only {to_digits:number} and {segments:number} can be numbers";
                            return Err(BadSetting::new(key, why));
                        }
                    },
                    None => Self::Text(Template::read(key, &text)?),
                }
            }
            Value::Array(items) => Self::List(items.into_iter().map(Self::read).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| Ok((name, Self::read(value)?)));
                Self::Object(fields.collect::<Result<_, BadSetting>>()?)
            }
            plain => Self::Plain(plain),
        })
    }

    fn fill(&self, values: &Values<'_>) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Text(text) => Value::String(text.fill(values)),
            Self::Number(name) => values.get(*name).parse::<u64>().map_or(Value::Null, Value::from),
            Self::List(items) => Value::Array(items.iter().map(|item| item.fill(values)).collect()),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), value.fill(values)));
                Value::Object(fields.collect())
            }
        }
    }

    fn names(&self) -> Vec<Name> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(text) => text.names(),
            Self::Number(name) => vec![*name],
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, value)| value.names()).collect(),
        }
    }
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(super) enum Body {
    None,
    Form(Pairs),
    Json(Json),
}

impl Body {
    pub(super) fn read(format: BodyFormat, text: &str) -> Result<Self, BadSetting> {
        let bad = |why: String| BadSetting::new("gateway.body", why);
        match format {
            BodyFormat::None if text.is_empty() => Ok(Self::None),
            BodyFormat::None => Err(bad("must be empty, because gateway.format is \"none\"".to_owned())),
            BodyFormat::Form => Ok(Self::Form(Pairs::read("gateway.body", text)?)),
            BodyFormat::Json => {
                let value = serde_json::from_str(text).map_err(|error| {
                    // Not the text of the error: it may show part of the value.
                    bad(format!("is not valid JSON (line {}, column {})", error.line(), error.column()))
                })?;
                Ok(Self::Json(Json::read(value)?))
            }
        }
    }

    pub(super) fn names(&self) -> Vec<Name> {
        match self {
            Self::None => Vec::new(),
            Self::Form(pairs) => pairs.names(),
            Self::Json(json) => json.names(),
        }
    }

    pub(super) fn write(&self, request: RequestBuilder, values: &Values<'_>) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Form(pairs) => {
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(pairs.fill(values))
            }
            Self::Json(json) => {
                request.header(CONTENT_TYPE, "application/json").body(json.fill(values).to_string())
            }
        }
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
