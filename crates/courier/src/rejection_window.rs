//! A sender's rejections with its providers: the share of policy rejections among its last messages. A single one is
//! about a message; many are about the sender (reputation, authentication, registration), and every further message
//! makes it worse.

use std::sync::{Mutex, PoisonError};

/// Size of the window, in messages.
pub const LAST: u32 = 50;

/// The last messages a provider accepted or rejected.
#[derive(Debug)]
pub struct RejectionWindow {
    /// Number of policy rejections that are tolerated.
    borne: f64,
    /// One bit per message, the latest lowest; set if it was rejected by policy.
    refused: Mutex<u64>,
}

impl RejectionWindow {
    /// Tolerates policy rejections up to this share of the last messages, 0 to 1.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self { borne: share * f64::from(LAST), refused: Mutex::new(0) }
    }

    /// A message was accepted, or rejected for another reason.
    pub fn took(&self) {
        self.push(false);
    }

    /// A message was rejected by policy. If that is one too many, returns how many of the last [`LAST`] were.
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
    fn only_the_last_messages_count() {
        let rejections = RejectionWindow::new(0.2);
        let refused = |times: u32| (0..times).filter(|_| rejections.refused().is_some()).count();
        assert_eq!(refused(10), 0, "a fifth is tolerated");
        assert_eq!(rejections.refused(), Some(11));
        (0..39).for_each(|_| rejections.took());
        assert_eq!(refused(1), 1, "the earlier ones are still in the window");
        (0..50).for_each(|_| rejections.took());
        assert_eq!(refused(10), 0, "they have left the window");
        assert_eq!(refused(1), 1);
    }

    #[test]
    fn a_share_of_1_tolerates_everything_and_0_nothing() {
        let (all, none) = (RejectionWindow::new(1.0), RejectionWindow::new(0.0));
        assert!((0..200).all(|_| all.refused().is_none()));
        assert!(none.refused().is_some());
    }
}
