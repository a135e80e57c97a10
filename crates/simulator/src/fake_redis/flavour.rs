//! Differences between the supported servers.

/// Which server the world behaves like.
///
/// The known and modelled differences: how a number is formatted, which clock applies to a deadline in the
/// past, and which event a deadline in the past causes. The differential tests of this crate compare them
/// with the real servers.
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

    /// Whether counts that may be negative are checked for the one that cannot be negated.
    pub(crate) fn wants_opposites(self) -> bool {
        self != Flavour::Redis70
    }

    /// Whether a score range may begin with spaces, as C parses numbers.
    pub(crate) fn skips_spaces(self) -> bool {
        self != Flavour::Redis80
    }

    /// Whether `ZADD` considers all its members before it chooses the form of the set.
    pub(crate) fn sizes_sorted_sets_at_once(self) -> bool {
        self == Flavour::Valkey81
    }

    /// Whether deadlines inside a script are measured by the running clock (rather than the frozen one).
    pub(crate) fn deadlines_run_on(self) -> bool {
        self == Flavour::Redis70
    }

    /// Whether a key given a deadline in the past is removed as expired, at once.
    pub(crate) fn past_deadline_expires(self) -> bool {
        self == Flavour::Valkey81
    }
}
