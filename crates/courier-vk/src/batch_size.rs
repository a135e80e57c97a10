//! How many calls one request holds: halved if a request was too much, then raised again one by one.

/// How many full requests must succeed before the number of calls is raised by one.
const WELL: u32 = 20;

/// The number of calls per request.
#[derive(Debug)]
pub(crate) struct BatchSize {
    most: usize,
    now: usize,
    well: u32,
}

impl BatchSize {
    /// Starts with `most` calls, and never exceeds them.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, now: most.max(1), well: 0 }
    }

    /// Maximum calls in a request now.
    pub(crate) fn get(&self) -> usize {
        self.now
    }

    /// Records that a request of this many calls was too much.
    pub(crate) fn too_many(&mut self, calls: usize) {
        self.now = self.now.min((calls / 2).max(1));
        self.well = 0;
    }

    /// Records that a request of this many calls succeeded.
    pub(crate) fn went(&mut self, calls: usize) {
        if calls < self.now || self.now >= self.most {
            return;
        }
        self.well += 1;
        if self.well >= WELL {
            (self.now, self.well) = (self.now + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_per_request_are_halved_and_recover_slowly() {
        let mut groups = BatchSize::new(25);
        groups.too_many(25);
        assert_eq!(groups.get(), 12);
        // Another request on the wire at the same time says nothing new.
        groups.too_many(25);
        assert_eq!(groups.get(), 12);
        for _ in 0..4 {
            groups.too_many(groups.get());
        }
        assert_eq!(groups.get(), 1);
        for _ in 0..WELL {
            groups.went(1);
        }
        assert_eq!(groups.get(), 2);
        // Smaller requests prove nothing.
        for _ in 0..WELL * 2 {
            groups.went(1);
        }
        assert_eq!(groups.get(), 2);
        for _ in 0..WELL * 40 {
            groups.went(groups.get());
        }
        assert_eq!(groups.get(), 25);
    }
}
