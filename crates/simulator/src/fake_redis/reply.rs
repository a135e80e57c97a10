//! A command's answer inside the world: shared where possible, so that reading costs no copy.

use super::data::Str;
use super::fault::CommandError;
use crate::value::Value;

/// A command's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nil.
    Nil,
    /// A whole number.
    Int(i64),
    /// A fixed text: `OK`, or a type's name.
    Status(&'static str),
    /// Stored bytes.
    Bytes(Str),
    /// Bytes made for this answer.
    Made(Vec<u8>),
    /// A list.
    Array(Vec<Reply>),
}

/// The result of a command.
pub type Answer = Result<Reply, CommandError>;

impl Reply {
    pub(crate) const OK: Reply = Reply::Status("OK");

    /// One for true, zero for false.
    pub(crate) fn flag(flag: bool) -> Reply {
        Reply::Int(i64::from(flag))
    }

    /// How many.
    pub(crate) fn count(count: usize) -> Reply {
        Reply::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A string, or nothing.
    pub(crate) fn maybe(bytes: Option<&Str>) -> Reply {
        bytes.map_or(Reply::Nil, |bytes| Reply::Bytes(Str::clone(bytes)))
    }
}

impl From<Reply> for Value {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Nil => Value::Nil,
            Reply::Int(number) => Value::Int(number),
            Reply::Status(text) => Value::Status(text.to_owned()),
            Reply::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Reply::Made(bytes) => Value::Bytes(bytes),
            Reply::Array(items) => Value::Array(items.into_iter().map(Value::from).collect()),
        }
    }
}
