//! The epoch of a partition as text: `!` when it is halted, a random name, and `+N` after the first recovery.

/// A parsed epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch<'a> {
    /// Whether sending is stopped.
    pub(crate) halted: bool,
    /// The random name.
    pub(crate) name: &'a str,
    /// How often it was recovered.
    pub(crate) generation: u64,
}

impl<'a> Epoch<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let (halted, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let (name, generation) = rest.split_once('+').unwrap_or((rest, "0"));
        Self { halted, name, generation: generation.parse().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_parsed() {
        assert_eq!(Epoch::of("!a+12"), Epoch { halted: true, name: "a", generation: 12 });
        assert_eq!(Epoch::of("a"), Epoch { halted: false, name: "a", generation: 0 });
    }
}
