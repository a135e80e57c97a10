//! Where the servers we support answer differently.

/// Which server the world behaves like.
///
/// The differences known and modelled: how a number becomes text, which clock a deadline in the past is
/// measured by, and what a deadline in the past announces. They are held to the real servers by the
/// differential tests of this crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Redis 7.0: numbers with 17 digits, `PXAT` and `PTTL` read the running clock.
    #[default]
    Redis70,
    /// Redis 8.0: shortest digits, one clock reading for a whole script.
    Redis80,
    /// Valkey 8.1: as Redis 8.0, and a deadline in the past removes the key at once and announces `expired`.
    Valkey81,
}

impl Flavour {
    /// Whether numbers are printed with the fewest digits that read back the same.
    pub(crate) fn shortest_digits(self) -> bool {
        self != Flavour::Redis70
    }

    /// Whether counts that may be negative are checked for the one without an opposite.
    pub(crate) fn wants_opposites(self) -> bool {
        self != Flavour::Redis70
    }

    /// Whether a range of scores may begin with spaces, as C reads numbers.
    pub(crate) fn skips_spaces(self) -> bool {
        self != Flavour::Redis80
    }

    /// Whether `ZADD` looks at all its members before it chooses the form of the set.
    pub(crate) fn sizes_sorted_sets_at_once(self) -> bool {
        self == Flavour::Valkey81
    }

    /// Whether deadlines inside a script are measured by the clock that runs on (and not by the frozen one).
    pub(crate) fn deadlines_run_on(self) -> bool {
        self == Flavour::Redis70
    }

    /// Whether a key given a deadline in the past is removed as expired, at once.
    pub(crate) fn past_deadline_expires(self) -> bool {
        self == Flavour::Valkey81
    }
}
