//! A refusal: a code and a text. A code without text gets its usual text.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a provider answers when it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalAnswer {
    /// The code; for SMTP 400 to 599. A 421 also closes the connection, as real servers do.
    pub code: u16,
    /// The text; for SMTP it starts with the enhanced code. Control characters become spaces.
    #[serde(default)]
    pub text: Cow<'static, str>,
}

impl RefusalAnswer {
    /// An answer with the usual text of its code.
    #[must_use]
    pub fn of(code: u16) -> Self {
        Self { code, text: Cow::Borrowed("") }
    }

    /// An answer with a text.
    #[must_use]
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// The text, or the usual text of the code.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.text.is_empty() { usual_text(self.code) } else { &self.text }
    }
}

/// The enhanced code and the text servers use most often with a code.
fn usual_text(code: u16) -> &'static str {
    match code {
        421 => "4.3.2 Service not available, closing the connection",
        450 => "4.2.1 Mailbox unavailable, try again later",
        451 => "4.3.0 Local error, try again later",
        452 => "4.2.2 Mailbox full",
        454 => "4.7.0 Temporary authentication failure",
        455 => "4.5.4 Parameters cannot be taken now",
        500 => "5.5.2 Command not recognised",
        501 => "5.5.4 Bad parameters",
        502 => "5.5.1 Command not implemented",
        503 => "5.5.1 Bad sequence of commands",
        504 => "5.5.4 Parameter not implemented",
        521 => "5.3.2 This host takes no mail",
        530 => "5.7.0 Authentication required",
        534 => "5.7.9 Authentication mechanism is too weak",
        535 => "5.7.8 Authentication credentials invalid",
        538 => "5.7.11 Encryption required for this authentication",
        550 => "5.1.1 No such mailbox",
        551 => "5.1.6 The recipient has moved",
        552 => "5.2.2 Mailbox full",
        553 => "5.1.3 Bad mailbox name",
        554 => "5.7.1 Refused by policy",
        555 => "5.5.4 Parameters not recognised",
        556 => "5.1.10 The domain takes no mail",
        400..500 => "4.0.0 Try again later",
        _ => "5.0.0 Refused",
    }
}
