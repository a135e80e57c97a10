//! A reply as the caller of a script sees it, before a codec decodes it.

use std::fmt;

/// The answer of a script or a command, in the types of RESP2.
///
/// Nil stands for both the nil bulk string and the nil array: a script cannot tell them apart either.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Nil (`$-1` or `*-1`).
    Nil,
    /// A whole number.
    Int(i64),
    /// A binary-safe string.
    Bytes(Vec<u8>),
    /// A list of replies, of any kinds.
    Array(Vec<Value>),
    /// An error: the code, a space and the text, without the leading `-`. The position in the script that the server
    /// appends (` script: …, on @user_script:1.`) is left out.
    Error(String),
    /// A short text such as `OK`.
    Status(String),
}

impl Value {
    /// The error's first word, on which callers decide; `None` if this is not an error.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Value::Error(text) => Some(text.split(' ').next().unwrap_or(text)),
            _ => None,
        }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The string's bytes, if this is one.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The replies inside, if this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
}

/// As the store's client passes it on: a status is a string.
impl From<Value> for posthaste_protocol::ReplyValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Int(number),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Status(text) => Self::Bytes(text.into()),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Error(text) => Self::Error(text),
        }
    }
}

/// Readable: bytes as text with everything unprintable escaped.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Value::Array(items) => f.debug_list().entries(items).finish(),
            Value::Error(text) => write!(f, "(error {text})"),
            Value::Status(text) => write!(f, "(status {text})"),
        }
    }
}
