//! Errors in a request, given by place and code. They never contain text of the input.

use std::borrow::Cow;

use crate::problem::{Code, Problem, Violation};

/// Maximum errors listed in one response; the first ones.
pub(crate) const MAX_ERRORS: usize = 100;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What is wrong with one place of a request. The words are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum ValidationCode {
            $($(#[$doc])* $name,)*
        }

        impl ValidationCode {
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
    pub(crate) code: ValidationCode,
    /// The same in words, with the rule.
    pub(crate) detail: Cow<'static, str>,
}

impl ValidationError {
    pub(crate) fn new(
        pointer: impl Into<String>,
        code: ValidationCode,
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
    pub(crate) fn add(&mut self, field_error: ValidationError) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(field_error);
        }
    }

    /// Keeps a valid value, and records an error otherwise.
    pub(crate) fn keep<T>(&mut self, found: Result<T, ValidationError>) -> Option<T> {
        found.map_err(|field_error| self.add(field_error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() == MAX_ERRORS
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
    pub(crate) fn into_error(self) -> ValidationError {
        match self {
            Self::Malformed(field_error) | Self::Misshapen(field_error) => field_error,
        }
    }
}

impl From<ValidationError> for Violation {
    fn from(field_error: ValidationError) -> Self {
        // An error about a whole line needs no pointer into it.
        let pointer =
            (field_error.line.is_none() || !field_error.pointer.is_empty()).then_some(field_error.pointer);
        Self { pointer, line: field_error.line, code: field_error.code.word(), detail: field_error.detail }
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Malformed(field_error) => {
                Self::new(Code::MalformedJson, field_error.detail.clone()).with_errors([field_error.into()])
            }
            Unread::Misshapen(field_error) => refused(vec![field_error]),
        }
    }
}

/// The order is invalid in these places.
pub(crate) fn refused(field_errors: Vec<ValidationError>) -> Problem {
    Problem::new(Code::ValidationFailed, "the order is invalid; nothing was stored")
        .with_errors(field_errors.into_iter().map(Violation::from))
}
