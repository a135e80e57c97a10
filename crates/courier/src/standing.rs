//! How a sender stands with those who take its messages: refusals by policy among the last messages. One of them is about one
//! message; many are about the sender (reputation, authentication, registration), and each further message makes it worse.

use std::sync::{Mutex, PoisonError};

/// Messages that are looked at.
pub const LAST: u32 = 50;

/// The last messages somebody took or refused.
#[derive(Debug)]
pub struct Standing {
    /// Refusals by policy that are borne.
    borne: f64,
    /// A bit for each message, the last one lowest; set where it was refused by policy.
    refused: Mutex<u64>,
}

impl Standing {
    /// Bears refusals by policy up to this share of the last messages, 0 to 1.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self { borne: share * f64::from(LAST), refused: Mutex::new(0) }
    }

    /// A message was taken, or refused for another reason.
    pub fn took(&self) {
        self.push(false);
    }

    /// A message was refused by policy. When it is one too many: how many of the last [`LAST`] were.
    pub fn refused(&self) -> Option<u32> {
        let refused = self.push(true);
        (f64::from(refused) > self.borne).then_some(refused)
    }

    fn push(&self, by_policy: bool) -> u32 {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = (*refused << 1 | u64::from(by_policy)) & ((1 << LAST) - 1);
        refused.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_messages_count_and_no_others() {
        let standing = Standing::new(0.2);
        let refused = |times: u32| (0..times).filter(|_| standing.refused().is_some()).count();
        assert_eq!(refused(10), 0, "a fifth is borne");
        assert_eq!(standing.refused(), Some(11));
        (0..39).for_each(|_| standing.took());
        assert_eq!(refused(1), 1, "those before are among the last still");
        (0..50).for_each(|_| standing.took());
        assert_eq!(refused(10), 0, "they are forgotten");
        assert_eq!(refused(1), 1);
    }

    #[test]
    fn the_whole_share_is_never_too_much_and_none_at_once() {
        let (all, none) = (Standing::new(1.0), Standing::new(0.0));
        assert!((0..200).all(|_| all.refused().is_none()));
        assert!(none.refused().is_some());
    }
}
