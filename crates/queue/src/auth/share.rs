//! What one key may use: the share `keys.share` of the places for requests and trackers, of the memory for bodies and
//! of the threads that check large ones. Whatever a key does, the rest is left for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use posthaste_store::KeyId;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::middleware::body::LARGEST_KIB;
use crate::problem::{Code, Problem};

/// Entries of keys that hold nothing are removed once there are this many.
const SWEEP_AT: usize = 1_024;
/// When to retry if a key uses its whole share.
const RETRY: Duration = Duration::from_secs(1);

/// The total amounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    /// Places for requests.
    pub(crate) requests: usize,
    /// Places for trackers.
    pub(crate) trackers: usize,
    /// KiB of bodies in memory.
    pub(crate) body_kib: usize,
    /// Threads that check big bodies.
    pub(crate) checks: usize,
}

/// The shares of all keys.
#[derive(Debug)]
pub(crate) struct Shares {
    each: Whole,
    keys: Mutex<HashMap<KeyId, Weak<Share>>>,
}

/// The share of one key; kept as long as one of its requests lasts, or something taken from it is held.
#[derive(Debug)]
pub(crate) struct Share {
    requests: Arc<Semaphore>,
    trackers: Arc<Semaphore>,
    body_kib: Arc<Semaphore>,
    checks: Arc<Semaphore>,
}

/// Something a key holds. It includes the share itself, so that the key's next request finds the same one.
#[derive(Debug)]
pub(crate) struct Held {
    _permit: OwnedSemaphorePermit,
    _share: Arc<Share>,
}

impl Shares {
    /// Shares of this size, 0 to 1; at least one place, and memory for one body of the largest size.
    pub(crate) fn new(share: f64, whole: Whole) -> Self {
        let of =
            |count: usize, least: usize| part(count, share).max(least.min(count)).min(Semaphore::MAX_PERMITS);
        let largest = usize::try_from(LARGEST_KIB).unwrap_or(usize::MAX);
        let each = Whole {
            requests: of(whole.requests, 1),
            trackers: of(whole.trackers, 1),
            body_kib: of(whole.body_kib, largest),
            checks: of(whole.checks, 1),
        };
        Self { each, keys: Mutex::default() }
    }

    /// The share of a key.
    pub(crate) fn of(&self, id: &KeyId) -> Arc<Share> {
        // A plain map: intact even if a holder panicked.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = keys.get(id).and_then(Weak::upgrade) {
            return share;
        }
        if keys.len() >= SWEEP_AT {
            keys.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share::new(self.each));
        keys.insert(id.clone(), Arc::downgrade(&share));
        share
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count: not negative, and rounding is as good"
)]
fn part(count: usize, share: f64) -> usize {
    (count as f64 * share.clamp(0.0, 1.0)) as usize
}

impl Share {
    pub(crate) fn new(each: Whole) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            requests: places(each.requests),
            trackers: places(each.trackers),
            body_kib: places(each.body_kib),
            checks: places(each.checks),
        }
    }

    /// # Errors
    /// 429 when the key uses its whole share.
    pub(crate) fn request(self: &Arc<Self>) -> Result<Held, Problem> {
        self.take(&self.requests, 1, "too many requests with this key at the same time")
    }

    /// # Errors
    /// 429 when the key uses its whole share.
    pub(crate) fn tracker(self: &Arc<Self>) -> Result<Held, Problem> {
        self.take(&self.trackers, 1, "too many open trackers with this key")
    }

    /// # Errors
    /// 429 when the key uses its whole share.
    pub(crate) fn body(self: &Arc<Self>, kib: u32) -> Result<Held, Problem> {
        self.take(&self.body_kib, kib, "too many or too large bodies with this key at the same time")
    }

    /// Waits for the key's turn to check a large body.
    ///
    /// # Errors
    /// Never: the semaphore is not closed.
    pub(crate) async fn turn(self: &Arc<Self>) -> Result<Held, AcquireError> {
        let permit = Arc::clone(&self.checks).acquire_owned().await?;
        Ok(Held { _permit: permit, _share: Arc::clone(self) })
    }

    fn take(self: &Arc<Self>, of: &Arc<Semaphore>, count: u32, why: &'static str) -> Result<Held, Problem> {
        let taken = Arc::clone(of).try_acquire_many_owned(count);
        let permit = taken.map_err(|_| Problem::new(Code::RateLimited, why).retry_after(RETRY))?;
        Ok(Held { _permit: permit, _share: Arc::clone(self) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Whole = Whole { requests: 10, trackers: 3, body_kib: 100_000, checks: 1 };

    #[test]
    fn a_key_gets_its_share_and_others_get_theirs() {
        let shares = Shares::new(0.5, WHOLE);
        let (one, two) = ("aaaaaaaaaaaa".parse().expect("an id"), "bbbbbbbbbbbb".parse().expect("an id"));
        let held: Vec<_> = (0..5).map(|_| shares.of(&one).request().expect("a place")).collect();
        // No handler holds the share any more, but it is found again through what is held of it.
        let share = shares.of(&one);
        assert_eq!(share.request().expect_err("full").code(), Code::RateLimited);
        assert!(share.tracker().is_ok());
        assert_eq!(shares.of(&two).request().map(drop), Ok(()));
        drop(held);
        assert!(share.request().is_ok());
    }

    #[test]
    fn a_full_share_is_refused_and_the_smallest_is_one() {
        let shares = Shares::new(0.5, WHOLE);
        let share = shares.of(&"aaaaaaaaaaaa".parse().expect("an id"));
        let held = [share.tracker().expect("a place")];
        assert_eq!(share.tracker().expect_err("full").code(), Code::RateLimited);
        assert_eq!(share.body(50_001).expect_err("too much").code(), Code::RateLimited);
        assert!(share.body(50_000).is_ok());
        drop(held);
        let tiny = Shares::new(0.01, Whole { body_kib: 20_000, ..WHOLE });
        let share = tiny.of(&"aaaaaaaaaaaa".parse().expect("an id"));
        assert!(share.request().is_ok() && share.tracker().is_ok() && share.body(LARGEST_KIB).is_ok());
    }
}
