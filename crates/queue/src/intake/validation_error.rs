//! Errors in a request, given by place and code. They never contain text of the input.

use std::borrow::Cow;

use crate::problem::{Code, Problem, Violation};

/// Maximum errors listed in one response; the first ones.
pub(crate) const MOST_FLAWS: usize = 100;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What is wrong with one place of a request. The words are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum FlawCode {
            $($(#[$doc])* $name,)*
        }

        impl FlawCode {
            /// All codes.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word.
            pub(crate) fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// It is not JSON.
    MalformedJson = "malformed_json";
    /// It is not a JSON object.
    NotAnObject = "not_an_object";
    /// A name appears twice in one object.
    DuplicateKey = "duplicate_key";
    /// This object has no such field.
    UnknownField = "unknown_field";
    /// The field is required.
    Required = "required";
    /// It has the wrong type.
    WrongType = "wrong_type";
    /// It is not one of the allowed values.
    UnknownValue = "unknown_value";
    /// The number is too large, or not a whole number.
    OutOfRange = "out_of_range";
    /// It does not match the grammar of this kind of id.
    InvalidId = "invalid_id";
    /// It contains characters that are not allowed there.
    InvalidText = "invalid_text";
    /// It contains nothing visible.
    EmptyText = "empty_text";
    /// It is longer than allowed.
    TooLong = "too_long";
    /// There are more than allowed.
    TooMany = "too_many";
    /// The channel does not exist.
    UnknownChannel = "unknown_channel";
    /// It is not an e-mail address.
    InvalidEmail = "invalid_email";
    /// It is not a phone number.
    InvalidPhone = "invalid_phone";
    /// The settings do not allow messages to numbers of its country.
    CountryNotAllowed = "country_not_allowed";
    /// A premium-rate number, a satellite phone or similar: messages to these are never allowed.
    NumberNotAllowed = "number_not_allowed";
    /// It is not an address of its channel, such as a chat id or @name on Telegram.
    InvalidAddress = "invalid_address";
    /// It is not an RFC 3339 time with an offset.
    InvalidTime = "invalid_time";
    /// The time is too early or too late.
    TimeOutOfRange = "time_out_of_range";
    /// The order would expire before it is due.
    ExpiresBeforeDelivery = "expires_before_delivery";
    /// It names another sender than the order's id, or than the key is bound to.
    SenderMismatch = "sender_mismatch";
    /// No recipient has a usable address on any of the channels.
    NoReachableRecipient = "no_reachable_recipient";
    /// It is not allowed here.
    NotAllowedHere = "not_allowed_here";
}

/// One error: where and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValidationError {
    /// Line of an NDJSON body, from 1; `None` for JSON.
    pub(crate) line: Option<u64>,
    /// JSON pointer (RFC 6901) in the body, or in the line.
    pub(crate) pointer: String,
    /// What is wrong.
    pub(crate) code: FlawCode,
    /// The same in words, with the rule.
    pub(crate) detail: Cow<'static, str>,
}

impl ValidationError {
    pub(crate) fn new(
        pointer: impl Into<String>,
        code: FlawCode,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { line: None, pointer: pointer.into(), code, detail: detail.into() }
    }

    /// The same error, below another place.
    pub(crate) fn below(mut self, place: Place) -> Self {
        self.line = place.line();
        self.pointer.insert_str(0, &place.pointer());
        self
    }
}

/// Where a recipient is in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Index in the list of a JSON body, from 0.
    Recipient(usize),
    /// Line of an NDJSON body, from 1.
    Line(u64),
}

impl Place {
    /// The line, if it is a line.
    pub(crate) fn line(self) -> Option<u64> {
        match self {
            Self::Recipient(_) => None,
            Self::Line(line) => Some(line),
        }
    }

    /// The JSON pointer to it; empty for a line.
    pub(crate) fn pointer(self) -> String {
        match self {
            Self::Recipient(index) => format!("/recipients/{index}"),
            Self::Line(_) => String::new(),
        }
    }
}

/// The first errors found.
#[derive(Debug, Default)]
pub(crate) struct ValidationErrors(Vec<ValidationError>);

impl ValidationErrors {
    pub(crate) fn add(&mut self, flaw: ValidationError) {
        if self.0.len() < MOST_FLAWS {
            self.0.push(flaw);
        }
    }

    /// Keeps a valid value, and records an error otherwise.
    pub(crate) fn keep<T>(&mut self, found: Result<T, ValidationError>) -> Option<T> {
        found.map_err(|flaw| self.add(flaw)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() == MOST_FLAWS
    }

    pub(crate) fn into_vec(self) -> Vec<ValidationError> {
        self.0
    }
}

/// Why a body or a line could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is not JSON, or repeats a name: 400.
    Malformed(ValidationError),
    /// It is JSON, but of another shape: 422.
    Misshapen(ValidationError),
}

impl Unread {
    pub(crate) fn into_flaw(self) -> ValidationError {
        match self {
            Self::Malformed(flaw) | Self::Misshapen(flaw) => flaw,
        }
    }
}

impl From<ValidationError> for Violation {
    fn from(flaw: ValidationError) -> Self {
        // An error about a whole line needs no pointer into it.
        let pointer = (flaw.line.is_none() || !flaw.pointer.is_empty()).then_some(flaw.pointer);
        Self { pointer, line: flaw.line, code: flaw.code.word(), detail: flaw.detail }
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Malformed(flaw) => {
                Self::new(Code::MalformedJson, flaw.detail.clone()).with_errors([flaw.into()])
            }
            Unread::Misshapen(flaw) => refused(vec![flaw]),
        }
    }
}

/// The order is invalid in these places.
pub(crate) fn refused(flaws: Vec<ValidationError>) -> Problem {
    Problem::new(Code::ValidationFailed, "the order is invalid; nothing was stored")
        .with_errors(flaws.into_iter().map(Violation::from))
}
