//! Rejections that may be the fault of the sender or of the number. One number alone shows nothing; if a different
//! one is rejected right after it, with no message accepted in between, it is the sender.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Such rejections since a message was accepted.
#[derive(Debug, Default)]
pub(crate) struct SenderFaultDetector {
    /// The first number, hashed with a key of this process: numbers are not kept.
    first: Mutex<Option<u64>>,
    key: RandomState,
}

impl SenderFaultDetector {
    fn first(&self) -> MutexGuard<'_, Option<u64>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was accepted: the sender works.
    pub(crate) fn ends(&self) {
        *self.first() = None;
    }

    /// A number was rejected this way. Returns whether a different one was rejected before it.
    pub(crate) fn grows(&self, number: &str) -> bool {
        let number = self.key.hash_one(number);
        let mut first = self.first();
        let another = first.is_some_and(|first| first != number);
        // After the sender is fixed, counting starts anew.
        *first = (!another).then_some(number);
        another
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_number_with_nothing_taken_between_counts() {
        let streak = SenderFaultDetector::default();
        assert!(!streak.grows("+79160000001"));
        assert!(!streak.grows("+79160000001"));
        streak.ends();
        assert!(!streak.grows("+79160000002"));
        assert!(streak.grows("+79160000001"));
        assert!(!streak.grows("+79160000002"));
    }
}
