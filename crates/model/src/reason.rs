//! The reason for a delivery's state, stored as a 16-bit number in its record. Numbers never change their meaning.

/// Codes of providers are stored above this number.
const PROVIDER_CODES: u16 = 1000;

macro_rules! reasons {
    ($(#[doc = $doc:literal] $name:ident = $code:literal, $word:literal;)*) => {
        /// The reason for a delivery's state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $doc] $name,)*
            /// A code of the provider: an SMTP reply code, an HTTP status, or an error of its own list.
            Provider(u16),
            /// A number that a later version of the program stored; below 1000.
            Unlisted(u16),
        }

        impl Reason {
            /// All reasons except codes of providers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it means, for people.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $doc,)*
                    Self::Provider(_) => {
                        "A code of the provider: an SMTP reply code, an HTTP status, or an error of its own list."
                    }
                    Self::Unlisted(_) => "A reason of a later version of the program.",
                }
            }

            /// The number as stored in the record.
            #[must_use]
            pub fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Provider(code) => code.saturating_add(PROVIDER_CODES),
                    Self::Unlisted(code) => code,
                }
            }

            /// The reason for a stored number.
            #[must_use]
            pub fn from_code(code: u16) -> Self {
                match code {
                    $($code => Self::$name,)*
                    other => match other.checked_sub(PROVIDER_CODES) {
                        Some(code) => Self::Provider(code),
                        None => Self::Unlisted(other),
                    },
                }
            }

            /// The stable word for answers and metrics.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                    Self::Provider(_) => "provider_error",
                    Self::Unlisted(_) => "unlisted",
                }
            }

            /// The reason for a code of the provider; `None` above 64535, the last one that can be stored.
            #[must_use]
            pub fn of_provider(code: u16) -> Option<Self> {
                code.checked_add(PROVIDER_CODES).map(|_| Self::Provider(code))
            }

            /// The provider's code, if it is the reason.
            #[must_use]
            pub fn provider_code(self) -> Option<u16> {
                match self {
                    Self::Provider(code) => Some(code),
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// No particular reason.
    None = 0, "none";
    /// The order expired before the delivery could be begun.
    Expired = 1, "expired";
    /// The order was cancelled.
    Cancelled = 2, "cancelled";
    /// Three couriers died of the parcel.
    Poison = 3, "poison";
    /// The courier died, or lost its lease, with the delivery on the wire.
    CourierDied = 4, "courier_died";
    /// No complete answer arrived in time.
    TimedOut = 5, "timed_out";
    /// The connection broke after bytes were sent.
    ConnectionLost = 6, "connection_lost";
    /// The outcome is unknown, and by policy the message is not sent again.
    NotRetried = 7, "not_retried";
    /// The outcome of the one retry is unknown too.
    RetryUnconfirmed = 8, "retry_unconfirmed";
    /// All retries are used up.
    RetriesExhausted = 9, "retries_exhausted";
    /// The provider asked to wait.
    Throttled = 10, "throttled";
    /// No connection: nothing was sent.
    ConnectionFailed = 11, "connection_failed";
    /// The provider refused the message.
    Rejected = 12, "rejected";
    /// The address is wrong.
    InvalidAddress = 13, "invalid_address";
    /// The recipient does not want messages.
    Blocked = 14, "blocked";
    /// The address is on the suppression list.
    Suppressed = 15, "suppressed";
    /// The transport panicked while sending.
    InternalError = 16, "internal_error";
    /// The channel is stopped.
    ChannelStopped = 17, "channel_stopped";
    /// The provider failed temporarily.
    ProviderUnavailable = 18, "provider_unavailable";
    /// The provider's answer was invalid.
    InvalidProviderResponse = 19, "invalid_provider_response";
    /// The recipient unsubscribed from the sender.
    Unsubscribed = 20, "unsubscribed";
    /// The message bounced: the mailbox does not exist or accepts nothing.
    Bounced = 21, "bounced";
    /// The recipient told the provider to stop.
    OptedOut = 22, "opted_out";
    /// The provider accepted the message, but later reported that it could not be delivered.
    Undelivered = 23, "undelivered";
    /// An operator put the address on the suppression list.
    Manual = 24, "manual";
    /// The database lost its last changes; the message may have been sent before, and was not sent again.
    DatabaseWentBack = 25, "database_went_back";
    /// The record could not be read, and an operator ended it.
    RecordUnreadable = 40, "record_unreadable";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_map_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), *reason);
            assert!(reason.code() < PROVIDER_CODES);
        }
        assert_eq!(Reason::from_code(1550), Reason::Provider(550));
        for number in 0..=u16::MAX {
            assert_eq!(Reason::from_code(number).code(), number);
        }
        assert_eq!(Reason::of_provider(64_535).map(Reason::code), Some(u16::MAX));
        assert_eq!(Reason::of_provider(64_536), None);
    }

    #[test]
    fn providers_codes_are_shown_as_the_provider_wrote_them() {
        assert_eq!(Reason::from_code(1550).provider_code(), Some(550));
        assert_eq!(Reason::from_code(31_004).provider_code(), Some(30_004));
        assert_eq!(Reason::Bounced.provider_code(), None);
    }
}
