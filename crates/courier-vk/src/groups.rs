//! How much one request holds: its calls are halved when it was too much, and come back one by one.

/// Full requests that went well until one more call is tried in a request.
const WELL: u32 = 20;

/// How many calls a request holds.
#[derive(Debug)]
pub(crate) struct Groups {
    most: usize,
    now: usize,
    well: u32,
}

impl Groups {
    /// `most` calls, which it starts with.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, now: most.max(1), well: 0 }
    }

    /// Calls of a request at most.
    pub(crate) fn get(&self) -> usize {
        self.now
    }

    /// A request of so many calls was too much.
    pub(crate) fn too_many(&mut self, calls: usize) {
        self.now = self.now.min((calls / 2).max(1));
        self.well = 0;
    }

    /// A request of so many calls went well.
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
    fn calls_a_request_are_halved_and_come_back_slowly() {
        let mut groups = Groups::new(25);
        groups.too_many(25);
        assert_eq!(groups.get(), 12);
        // Another one that was on the wire with it says nothing new.
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
        // Smaller ones prove nothing.
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
