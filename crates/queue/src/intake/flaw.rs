//! What is wrong with a request, told by place and code. Never holds a word of the input.

use std::borrow::Cow;

use crate::problem::{Code, Problem, Violation};

/// Faults named in one answer at most; the first ones.
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
    /// It is no JSON.
    MalformedJson = "malformed_json";
    /// It is no JSON object.
    NotAnObject = "not_an_object";
    /// A name stands twice in one object.
    DuplicateKey = "duplicate_key";
    /// This place has no such field.
    UnknownField = "unknown_field";
    /// The field must be given.
    Missing = "missing";
    /// It has another type than it should have.
    WrongType = "wrong_type";
    /// It is none of the values there are.
    UnknownValue = "unknown_value";
    /// A number that is too large, or no whole one.
    BadNumber = "bad_number";
    /// It does not fit the grammar of its kind of id.
    InvalidId = "invalid_id";
    /// It holds characters that are not allowed there.
    InvalidText = "invalid_text";
    /// Nothing can be seen of it.
    EmptyText = "empty_text";
    /// It is longer than allowed.
    TooLong = "too_long";
    /// There are more than allowed.
    TooMany = "too_many";
    /// There is no such channel.
    UnknownChannel = "unknown_channel";
    /// It is no mailbox.
    InvalidMailbox = "invalid_mailbox";
    /// It is no phone number.
    InvalidPhone = "invalid_phone";
    /// Numbers of its country get no messages by the settings.
    CountryNotAllowed = "country_not_allowed";
    /// A premium-rate number, a satellite phone or the like: none of them gets messages.
    NumberNotAllowed = "number_not_allowed";
    /// It is no chat id and no @name.
    InvalidChat = "invalid_chat";
    /// It is no peer id.
    InvalidPeer = "invalid_peer";
    /// It is no address of its channel.
    InvalidAddress = "invalid_address";
    /// It is no RFC 3339 time with an offset.
    InvalidTime = "invalid_time";
    /// The time is out of the window.
    OutOfWindow = "out_of_window";
    /// The order would end before it is due.
    EndsBeforeDue = "ends_before_due";
    /// It names another sender than the order's id, or than the key is bound to.
    OtherSender = "other_sender";
    /// Nobody named can be reached on any of the channels.
    NoRows = "no_rows";
    /// It may not be given here.
    NotHere = "not_here";
}

/// One fault: where and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Line of an NDJSON body, from 1; `None` for JSON.
    pub(crate) line: Option<u64>,
    /// JSON pointer (RFC 6901) in the body, or in the line.
    pub(crate) pointer: String,
    /// What is wrong.
    pub(crate) code: FlawCode,
    /// The same in words, and what would be right.
    pub(crate) detail: Cow<'static, str>,
}

impl Flaw {
    pub(crate) fn new(
        pointer: impl Into<String>,
        code: FlawCode,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { line: None, pointer: pointer.into(), code, detail: detail.into() }
    }

    /// The same fault, below another place.
    pub(crate) fn below(mut self, place: Place) -> Self {
        self.line = place.line();
        self.pointer.insert_str(0, &place.pointer());
        self
    }
}

/// Where a recipient stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the list of a JSON body, from 0.
    Recipient(usize),
    /// On a line of an NDJSON body, from 1.
    Line(u64),
}

impl Place {
    /// The line, if it is one.
    pub(crate) fn line(self) -> Option<u64> {
        match self {
            Self::Recipient(_) => None,
            Self::Line(line) => Some(line),
        }
    }

    /// The JSON pointer to it; a line is all of it.
    pub(crate) fn pointer(self) -> String {
        match self {
            Self::Recipient(index) => format!("/recipients/{index}"),
            Self::Line(_) => String::new(),
        }
    }
}

/// Faults found so far, the first ones.
#[derive(Debug, Default)]
pub(crate) struct Flaws(Vec<Flaw>);

impl Flaws {
    pub(crate) fn add(&mut self, flaw: Flaw) {
        if self.0.len() < MOST_FLAWS {
            self.0.push(flaw);
        }
    }

    /// Keeps what is right and notes what is wrong.
    pub(crate) fn keep<T>(&mut self, found: Result<T, Flaw>) -> Option<T> {
        found.map_err(|flaw| self.add(flaw)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() == MOST_FLAWS
    }

    pub(crate) fn into_vec(self) -> Vec<Flaw> {
        self.0
    }
}

/// Why a body, or a line, could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is no JSON, or names something twice: 400.
    Malformed(Flaw),
    /// It is JSON, but of another shape: 422.
    Misshapen(Flaw),
}

impl Unread {
    pub(crate) fn into_flaw(self) -> Flaw {
        match self {
            Self::Malformed(flaw) | Self::Misshapen(flaw) => flaw,
        }
    }
}

impl From<Flaw> for Violation {
    fn from(flaw: Flaw) -> Self {
        // A whole line needs no pointer into it.
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

/// The order is wrong in these places.
pub(crate) fn refused(flaws: Vec<Flaw>) -> Problem {
    Problem::new(Code::InvalidOrder, "the order is wrong: nothing of it was stored")
        .with_errors(flaws.into_iter().map(Violation::from))
}
