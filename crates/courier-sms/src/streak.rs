//! Refusals that speak of sender and number together: the fault may be either's. One number alone tells nothing; another one right
//! after it, with nothing taken between, tells that it is the sender's.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Such refusals since a message was taken.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    /// The number of the first, hashed under a key of this process: numbers are not kept.
    first: Mutex<Option<u64>>,
    key: RandomState,
}

impl Streak {
    fn first(&self) -> MutexGuard<'_, Option<u64>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was taken: the sender works.
    pub(crate) fn ends(&self) {
        *self.first() = None;
    }

    /// A number was refused so. Whether another one was before it.
    pub(crate) fn grows(&self, number: &str) -> bool {
        let number = self.key.hash_one(number);
        let mut first = self.first();
        let another = first.is_some_and(|first| first != number);
        // Whoever mended the sender begins with a new one.
        *first = (!another).then_some(number);
        another
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_number_with_nothing_taken_between_counts() {
        let streak = Streak::default();
        assert!(!streak.grows("+79160000001"));
        assert!(!streak.grows("+79160000001"));
        streak.ends();
        assert!(!streak.grows("+79160000002"));
        assert!(streak.grows("+79160000001"));
        assert!(!streak.grows("+79160000002"));
    }
}
