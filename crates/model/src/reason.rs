//! The reason for a delivery's state, stored as a 16-bit number in its record. Numbers never change their meaning.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal;)*) => {
        /// The reason for a delivery's state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// A code from a provider's own list, 1000 and up.
            Provider(u16),
        }

        impl Reason {
            /// All reasons except the providers' own.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number as stored in the record.
            #[must_use]
            pub fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Provider(code) => code,
                }
            }

            /// The reason for a stored number.
            #[must_use]
            pub fn from_code(code: u16) -> Self {
                match code {
                    $($code => Self::$name,)*
                    other => Self::Provider(other),
                }
            }

            /// The stable word for answers and metrics.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                    Self::Provider(_) => "provider_error",
                }
            }

            /// The provider's own code; codes below 1000 are stored 1000 higher.
            #[must_use]
            pub fn provider_code(self) -> Option<u16> {
                match self {
                    Self::Provider(code @ 1_000..2_000) => Some(code - 1_000),
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
    /// `not_after` passed before the delivery could be begun.
    NotAfter = 1, "not_after_passed";
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
    /// Unknown, and not repeated by policy.
    Held = 7, "held";
    /// Unknown again after the one repeat.
    RepeatSpent = 8, "repeat_spent";
    /// All tries are used up.
    TriesSpent = 9, "tries_spent";
    /// The provider asked to wait.
    Throttled = 10, "throttled";
    /// No connection: nothing was sent.
    NotConnected = 11, "not_connected";
    /// The provider refused the message.
    Rejected = 12, "rejected";
    /// The address is wrong.
    BadAddress = 13, "bad_address";
    /// The recipient does not want messages.
    Blocked = 14, "blocked";
    /// The address is on the suppression list.
    Suppressed = 15, "suppressed";
    /// The transport panicked while sending.
    Panicked = 16, "panicked";
    /// The channel is stopped.
    Stopped = 17, "stopped";
    /// The provider failed temporarily.
    ProviderFailed = 18, "provider_failed";
    /// The provider's answer was invalid.
    BadAnswer = 19, "bad_answer";
    /// The recipient unsubscribed from the sender.
    Unsubscribed = 20, "unsubscribed";
    /// The message bounced: the mailbox does not exist or accepts nothing.
    Bounced = 21, "bounced";
    /// The recipient told the provider to stop.
    OptedOut = 22, "opted_out";
    /// The provider accepted the message, but later reported that it could not be delivered.
    Undelivered = 23, "undelivered";
    /// An operator put the address on the suppression list.
    ByOperator = 24, "by_operator";
    /// The database lost its last changes; the message may have been sent before, and was not sent again.
    WentBack = 25, "database_went_back";
    /// The record could not be read, and an operator ended it.
    Unreadable = 40, "record_unreadable";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_map_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), *reason);
            assert!(reason.code() < 1000);
        }
        assert_eq!(Reason::from_code(1550), Reason::Provider(1550));
    }

    #[test]
    fn providers_codes_are_shown_as_the_provider_wrote_them() {
        assert_eq!(Reason::from_code(1550).provider_code(), Some(550));
        assert_eq!(Reason::from_code(30_004).provider_code(), Some(30_004));
        assert_eq!(Reason::Bounced.provider_code(), None);
    }
}
