//! The ids of calls, which their replies must repeat.

use std::sync::atomic::{AtomicU64, Ordering};

/// Gives each call its own id.
#[derive(Debug)]
pub(crate) struct Requests {
    process: String,
    count: AtomicU64,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { process: format!("{:08x}", rand::random::<u32>()), count: AtomicU64::new(0) }
    }

    /// The id of the next call.
    pub(crate) fn next(&self) -> String {
        format!("{}-{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }
}
