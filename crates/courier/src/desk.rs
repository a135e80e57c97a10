//! The desk: where a transport brings what it hears from outside, beside the answers to its own sends. Receipts, people who
//! want no more, and names of orders that are too long for what carries them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, InvalidId, Reason, SenderId, Suffix};
pub use posthaste_store::{Notice, Said, Word};

/// The name of one attempt, `<sender id>.<ns>.<parcel>.<row>.<attempt>`: what is put where a provider gives it back. It is no
/// secret and no proof; whoever takes it from outside looks at a signature beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// Of which order.
    pub suffix: Suffix,
    /// Parcel of the order's channel.
    pub parcel: u32,
    /// Row of the parcel.
    pub row: u16,
    /// The attempt.
    pub attempt: u8,
}

const ATTEMPT: InvalidId =
    InvalidId { kind: "attempt", grammar: "an order id and three numbers, dots between" };

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.suffix.order_id(), self.parcel, self.row, self.attempt)
    }
}

impl FromStr for AttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.rsplitn(4, '.');
        let mut number = || {
            let digits = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            digits.ok_or(ATTEMPT)
        };
        let (attempt, row, parcel) = (number()?, number()?, number()?);
        let order = parts.next().ok_or(ATTEMPT)?;
        Ok(Self {
            suffix: Suffix::from_order_id(order)?,
            parcel: parcel.parse().map_err(|_| ATTEMPT)?,
            row: row.parse().map_err(|_| ATTEMPT)?,
            attempt: attempt.parse().map_err(|_| ATTEMPT)?,
        })
    }
}

/// A word from the provider about an attempt, after or beside its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which attempt.
    pub attempt: AttemptId,
    /// What it says.
    pub word: Word,
    /// Why; told in the history when it did not arrive.
    pub reason: Reason,
    /// Whether its address must not be used again.
    pub ban: Option<Ban>,
}

/// When an address must not be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ban {
    /// From now on.
    Now,
    /// After so many failures, on different days.
    After(u8),
}

/// Which suppression list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// Everybody's on this channel: the address is of no use, or wants nothing from here.
    Channel,
    /// One sender's on this channel: the person wants nothing from them.
    Sender(SenderId),
}

/// What became of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// The history has changed.
    Changed,
    /// It says nothing new: a repeat, or less than what is known.
    Known,
    /// There was never such an attempt, or its order is gone.
    NoSuchAttempt,
}

/// It is not stored: whoever told it has to tell it again.
#[derive(Debug, thiserror::Error)]
#[error("it can't be stored now")]
pub struct NotStored(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where a transport brings what it hears. All calls may be repeated.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// Takes a receipt; stored when this returns. A ban puts the address of the row on the channel's list.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn receipt(&self, receipt: &Receipt) -> Result<Noted, NotStored>;

    /// Puts an address on a list. When this returns `Changed`, it is there; `Known`: the notice is a copy of one that was heard, or
    /// the person opted in after it.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn suppress(
        &self,
        address: &Address,
        list: &List,
        reason: Reason,
        notice: &Notice,
    ) -> Result<Noted, NotStored>;

    /// Puts the address an attempt went to on a list, as [`Desk::suppress`]; `NoSuchAttempt` when there is none.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &List,
        reason: Reason,
        notice: &Notice,
    ) -> Result<Noted, NotStored>;

    /// Takes an address off a list because its person wants messages again: if it is there for one of these reasons, by the
    /// person or the provider, and it is proved that this was said after it. False when nothing was lifted.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn opt_in(
        &self,
        address: &Address,
        list: &List,
        reasons: &[Reason],
        notice: &Notice,
    ) -> Result<bool, NotStored>;

    /// Remembers an order under a short name of the caller's for so long, or a little longer; the name is one of
    /// `[A-Za-z0-9_-]{1,64}`, and always kept for so long.
    ///
    /// # Errors
    /// [`NotStored`].
    async fn remember(&self, name: &str, order: &Suffix, keep: Duration) -> Result<(), NotStored>;

    /// The order remembered under a name.
    ///
    /// # Errors
    /// [`NotStored`], when nobody can be asked now.
    async fn recall(&self, name: &str) -> Result<Option<Suffix>, NotStored>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_read_back_as_it_was_written() {
        let suffix: Suffix = "u-1:1700000000000000001".parse().unwrap();
        let id = AttemptId { suffix, parcel: 3_999, row: 499, attempt: 255 };
        assert_eq!(id.to_string(), "u-1.1700000000000000001.3999.499.255");
        assert_eq!(id.to_string().parse::<AttemptId>().unwrap(), id);
    }

    #[test]
    fn nothing_else_is_an_attempt() {
        for text in [
            "",
            "u.1.2.3",
            "u.1.2.3.256",
            "u.1.2.65536.1",
            "u.1.+2.3.4",
            "u.1.2.3.4.",
            ".1.2.3.4",
            "u:1.2.3.4",
            "u.x.2.3.4",
            "{0}.1.2.3.4",
        ] {
            assert!(text.parse::<AttemptId>().is_err(), "{text}");
        }
    }
}
