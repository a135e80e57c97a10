//! The code with which a provider explained its answer, and a reason together with it. A failed delivery keeps both.

use std::fmt;

use crate::reason::Reason;

/// Codes below this number are plain numbers in a record; above it are the codes of a mail server.
const SMTP: u32 = 1 << 31;
/// Reply codes of mail servers are stored as their distance from this number; 0 is none.
const BEFORE_REPLIES: u32 = 199;

/// An enhanced status code of a mail server (RFC 3463), such as `5.1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    class: u16,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// A status of this class, subject and detail; `None` if RFC 3463 has no such status.
    #[must_use]
    pub fn new(class: u16, subject: u16, detail: u16) -> Option<Self> {
        (matches!(class, 2 | 4 | 5) && subject < 1000 && detail < 1000).then_some(Self {
            class,
            subject,
            detail,
        })
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The code of a provider: a number of its own list, or reply code and enhanced status of a mail server. Either may be
/// missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ProviderCode {
    number: Option<u32>,
    enhanced: Option<EnhancedStatus>,
}

impl ProviderCode {
    /// No code.
    pub const NONE: Self = Self { number: None, enhanced: None };

    /// A number of the provider's list; [`ProviderCode::NONE`] for 0 and for numbers that no record can hold.
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        Self { number: Some(number).filter(|number| (1..SMTP).contains(number)), enhanced: None }
    }

    /// A reply code and an enhanced status of a mail server. An impossible reply code (below 200 or above 599) is left
    /// out.
    #[must_use]
    pub fn of_smtp(reply: Option<u16>, enhanced: Option<EnhancedStatus>) -> Self {
        Self { number: reply.filter(|reply| (200..600).contains(reply)).map(u32::from), enhanced }
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        self.number
    }

    /// The enhanced status.
    #[must_use]
    pub fn enhanced(self) -> Option<EnhancedStatus> {
        self.enhanced
    }

    /// The four bytes of a record; 0 for no code. With an enhanced status: 1, then the reply code less 199 (9 bits, 0
    /// for none), the class (2 bits: 1, 2, 3 for 2, 4, 5), subject and detail (10 bits each).
    #[must_use]
    pub fn packed(self) -> u32 {
        let number = self.number.unwrap_or(0);
        let Some(EnhancedStatus { class, subject, detail }) = self.enhanced else { return number };
        let reply = if number == 0 { 0 } else { number - BEFORE_REPLIES };
        let class: u32 = match class {
            2 => 1,
            4 => 2,
            _ => 3,
        };
        SMTP | reply << 22 | class << 20 | u32::from(subject) << 10 | u32::from(detail)
    }

    /// The code in the four bytes of a record; [`ProviderCode::NONE`] if they hold none.
    #[must_use]
    pub fn from_packed(packed: u32) -> Self {
        if packed < SMTP {
            return Self::of_number(packed);
        }
        let field = |shift: u32, bits: u32| u16::try_from(packed >> shift & ((1 << bits) - 1)).unwrap_or(0);
        let class = match field(20, 2) {
            1 => 2,
            2 => 4,
            3 => 5,
            _ => return Self::NONE,
        };
        let enhanced = EnhancedStatus::new(class, field(10, 10), field(0, 10));
        let reply = Some(field(22, 9)).filter(|reply| *reply > 0).map(|reply| reply + 199);
        let code = Self::of_smtp(reply, enhanced);
        if enhanced.is_none() || code.number.is_none() != reply.is_none() { Self::NONE } else { code }
    }
}

/// `550 5.1.1`, or what is known of it; empty without a code.
impl fmt::Display for ProviderCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number, self.enhanced) {
            (Some(number), Some(enhanced)) => write!(f, "{number} {enhanced}"),
            (Some(number), None) => write!(f, "{number}"),
            (None, Some(enhanced)) => write!(f, "{enhanced}"),
            (None, None) => Ok(()),
        }
    }
}

/// A reason, and the provider's code if it gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodedReason {
    /// The reason.
    pub reason: Reason,
    /// The provider's code.
    pub code: ProviderCode,
}

impl CodedReason {
    /// A reason without a code of the provider.
    #[must_use]
    pub const fn uncoded(reason: Reason) -> Self {
        Self { reason, code: ProviderCode::NONE }
    }
}

impl From<Reason> for CodedReason {
    fn from(reason: Reason) -> Self {
        Self::uncoded(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(reply: u16, class: u16, subject: u16, detail: u16) -> ProviderCode {
        ProviderCode::of_smtp(Some(reply), EnhancedStatus::new(class, subject, detail))
    }

    #[test]
    fn codes_survive_a_round_trip_through_a_record() {
        let mut all = vec![ProviderCode::NONE];
        all.extend([1, 6, 403, 550, 901, 30_003, 63_016, 65_536, SMTP - 1].map(ProviderCode::of_number));
        for reply in [200, 421, 451, 550, 554, 599] {
            for (subject, detail) in [(0, 0), (1, 1), (1, 10), (7, 26), (7, 999), (999, 999)] {
                all.extend([2, 4, 5].map(|class| smtp(reply, class, subject, detail)));
            }
        }
        all.push(ProviderCode::of_smtp(None, EnhancedStatus::new(5, 1, 1)));
        let packed: std::collections::HashSet<u32> = all.iter().map(|code| code.packed()).collect();
        assert_eq!(packed.len(), all.len(), "no two codes are stored alike");
        for code in all {
            assert_eq!(ProviderCode::from_packed(code.packed()), code, "{code}");
        }
    }

    #[test]
    fn codes_read_as_the_provider_wrote_them() {
        assert_eq!(smtp(550, 5, 1, 1).to_string(), "550 5.1.1");
        assert_eq!(smtp(554, 5, 7, 1).to_string(), "554 5.7.1");
        assert_eq!(ProviderCode::of_number(30_003).to_string(), "30003");
        assert_eq!(ProviderCode::of_smtp(None, EnhancedStatus::new(4, 4, 7)).to_string(), "4.4.7");
        assert_eq!(ProviderCode::NONE.to_string(), "");
    }

    #[test]
    fn what_no_record_can_hold_is_no_code() {
        assert_eq!(ProviderCode::of_number(0), ProviderCode::NONE);
        assert_eq!(ProviderCode::of_number(SMTP), ProviderCode::NONE);
        assert_eq!(ProviderCode::of_smtp(Some(199), None), ProviderCode::NONE);
        assert_eq!(ProviderCode::of_smtp(Some(600), None), ProviderCode::NONE);
        for (class, subject, detail) in [(3, 1, 1), (0, 0, 0), (6, 0, 0), (5, 1000, 0), (5, 0, 1000)] {
            assert_eq!(EnhancedStatus::new(class, subject, detail), None, "{class}.{subject}.{detail}");
        }
    }

    #[test]
    fn no_bytes_of_a_record_are_read_as_a_code_that_was_never_stored() {
        for packed in (0..=u32::MAX).step_by(65_537 * 3).chain(SMTP..SMTP + 4096).chain([u32::MAX]) {
            let code = ProviderCode::from_packed(packed);
            assert!(code == ProviderCode::NONE || code.packed() == packed, "{packed}: {code:?}");
        }
    }
}
