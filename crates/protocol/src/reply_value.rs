//! Replies of a server, independent of the client that fetched them.

use bytes::Bytes;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyValue {
    /// No value.
    Nil,
    /// A whole number.
    Int(i64),
    /// A string, or a status.
    Bytes(Bytes),
    /// Several values.
    Array(Vec<ReplyValue>),
    /// An error reply.
    Error(String),
}

/// A reply that does not have the shape its script declares. Holds no data of the reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", if *.newer { "unsupported later version of " } else { "malformed " })]
pub struct Malformed {
    /// What could not be read.
    pub what: &'static str,
    /// Whether it is marked as of a later version: a newer program can read it.
    pub newer: bool,
}

impl Malformed {
    /// Something with this name could not be read.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, newer: false }
    }

    /// Something with this name is of a later version.
    #[must_use]
    pub fn newer(what: &'static str) -> Self {
        Self { what, newer: true }
    }
}

impl ReplyValue {
    /// As an integer; strings of digits count.
    ///
    /// # Errors
    /// When it is not an integer.
    pub fn int(&self, what: &'static str) -> Result<i64, Malformed> {
        match self {
            Self::Int(n) => Ok(*n),
            Self::Bytes(b) => {
                std::str::from_utf8(b).ok().and_then(|s| s.parse().ok()).ok_or(Malformed::new(what))
            }
            _ => Err(Malformed::new(what)),
        }
    }

    /// As a number that is not negative.
    ///
    /// # Errors
    /// When it is not a number, or negative.
    pub fn u64(&self, what: &'static str) -> Result<u64, Malformed> {
        u64::try_from(self.int(what)?).map_err(|_| Malformed::new(what))
    }

    /// As bytes.
    ///
    /// # Errors
    /// When it is something else.
    pub fn bytes(self, what: &'static str) -> Result<Bytes, Malformed> {
        match self {
            Self::Bytes(b) => Ok(b),
            Self::Int(n) => Ok(Bytes::from(n.to_string())),
            _ => Err(Malformed::new(what)),
        }
    }

    /// As text.
    ///
    /// # Errors
    /// When it is something else, or not UTF-8.
    pub fn text(self, what: &'static str) -> Result<String, Malformed> {
        String::from_utf8(self.bytes(what)?.into()).map_err(|_| Malformed::new(what))
    }

    /// As an array; nil counts as empty.
    ///
    /// # Errors
    /// When it is something else.
    pub fn array(self, what: &'static str) -> Result<Vec<Self>, Malformed> {
        match self {
            Self::Array(items) => Ok(items),
            Self::Nil => Ok(Vec::new()),
            _ => Err(Malformed::new(what)),
        }
    }
}

/// The fields of a reply, read one after another.
#[derive(Debug)]
pub struct ReplyFields(std::vec::IntoIter<ReplyValue>);

impl ReplyFields {
    /// Reads the given values.
    #[must_use]
    pub fn new(values: Vec<ReplyValue>) -> Self {
        Self(values.into_iter())
    }

    /// The next value.
    ///
    /// # Errors
    /// When no value is left.
    pub fn value(&mut self, what: &'static str) -> Result<ReplyValue, Malformed> {
        self.0.next().ok_or(Malformed::new(what))
    }

    /// The next value as a number.
    ///
    /// # Errors
    /// When no value is left, or it is not a number.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.value(what)?.u64(what)
    }

    /// The next value as a 32-bit number.
    ///
    /// # Errors
    /// When no value is left, or it is not a number.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        u32::try_from(self.u64(what)?).map_err(|_| Malformed::new(what))
    }

    /// The next value as text.
    ///
    /// # Errors
    /// When no value is left, or it is not text.
    pub fn text(&mut self, what: &'static str) -> Result<String, Malformed> {
        self.value(what)?.text(what)
    }

    /// The next value as bytes.
    ///
    /// # Errors
    /// When no value is left, or it is not bytes.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, Malformed> {
        self.value(what)?.bytes(what)
    }

    /// The next value as an array.
    ///
    /// # Errors
    /// When no value is left, or it is not an array.
    pub fn array(&mut self, what: &'static str) -> Result<Vec<ReplyValue>, Malformed> {
        self.value(what)?.array(what)
    }
}
