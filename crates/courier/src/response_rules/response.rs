//! What rules look at: the parts of a provider's response that a channel extracts from what it received.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use posthaste_model::{EnhancedStatus, ProviderCode, Reason};

use crate::http_request::HttpResponse;

/// An enhanced code (RFC 3463): class, subject, detail.
pub type EnhancedCode = (u16, u16, u16);

/// A word that only the tables of one channel have: an action of its own, or a place where a response may come.
pub trait TableWord: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// Each word, and what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

/// No such words.
impl TableWord for Infallible {
    const WORDS: &'static [(&'static str, Self)] = &[];
}

/// The parts of a response, or of a delivery receipt, that rules look at.
#[derive(Clone)]
pub struct ProviderResponse<'a, P = Infallible> {
    /// At which stage it came, or what it is about.
    pub at: Option<P>,
    /// HTTP status; `None` for a receipt, and for a protocol without one.
    pub status: Option<u16>,
    /// The provider's own code; `None` if the response is not in the provider's form.
    pub code: Option<Cow<'a, str>>,
    /// The enhanced code of a mail server.
    pub enhanced: Option<EnhancedCode>,
    /// The text. It may contain what was sent: never logged.
    pub text: &'a str,
    /// The wait it requests.
    pub wait: Option<Duration>,
}

impl<P> Default for ProviderResponse<'_, P> {
    fn default() -> Self {
        Self { at: None, status: None, code: None, enhanced: None, text: "", wait: None }
    }
}

/// Prints numbers only: code and text are untrusted, and may repeat what was sent.
impl<P: fmt::Debug> fmt::Debug for ProviderResponse<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, status, enhanced, wait, .. } = self;
        write!(
            f,
            "ProviderResponse {{ at: {at:?}, status: {status:?}, enhanced: {enhanced:?}, wait: {wait:?}, .. }}"
        )
    }
}

impl<'a, P> ProviderResponse<'a, P> {
    /// The parts of an HTTP response; `code` is the provider's code in it.
    #[must_use]
    pub fn http(answer: &'a HttpResponse, code: Option<&'a str>) -> Self {
        let text = str::from_utf8(&answer.body).unwrap_or_default();
        let code = code.map(Cow::Borrowed);
        Self { status: Some(answer.status), code, text, wait: answer.retry_after, ..Self::default() }
    }

    /// A delivery receipt with this code.
    #[must_use]
    pub fn receipt(code: Option<&'a str>) -> Self {
        Self { code: code.map(Cow::Borrowed), ..Self::default() }
    }

    /// Code or status, fit to be logged.
    #[must_use]
    pub fn label(&self) -> String {
        // A code is untrusted text.
        let is_plain = |code: &&str| code.len() <= 16 && code.bytes().all(|b| b.is_ascii_alphanumeric());
        match (self.code.as_deref().filter(is_plain), self.status) {
            (Some(code), _) => code.to_owned(),
            (None, Some(status)) => format!("HTTP {status}"),
            (None, None) => "no code".to_owned(),
        }
    }

    /// The provider's code as it is stored: its number, or reply code and enhanced status of a mail server; without a
    /// code, the HTTP status. A code in words is not stored.
    #[must_use]
    pub fn provider_code(&self) -> ProviderCode {
        let number = match &self.code {
            Some(code) => code.parse::<u32>().ok(),
            None => self.status.map(u32::from),
        };
        match self.enhanced.and_then(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail)) {
            Some(enhanced) => {
                ProviderCode::of_smtp(number.and_then(|number| u16::try_from(number).ok()), Some(enhanced))
            }
            None => number.map_or(ProviderCode::NONE, ProviderCode::of_number),
        }
    }

    /// The provider's code as a reason; without a code, the status.
    #[must_use]
    pub fn code_reason(&self) -> Reason {
        let number = match &self.code {
            Some(code) => code.parse::<u16>().ok(),
            None => self.status,
        };
        match number.and_then(Reason::of_provider) {
            Some(reason) => reason,
            None if self.status.is_none() => Reason::Undelivered,
            None => Reason::Rejected,
        }
    }
}
