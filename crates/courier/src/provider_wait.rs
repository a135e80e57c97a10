//! The wait a provider asks for: Retry-After, `retry_after`, "try again in 5 minutes". It comes from outside, so it is
//! bounded here and nowhere else, before it reaches a clock or a record.

use std::time::Duration;

/// The longest wait that is obeyed, on every channel: the pause of a channel, a bot, a chat or a relay, and the wait of
/// one delivery that is stored. A day, because the longest limits of providers are counted by the day: to ask again
/// earlier is what they punish with a longer wait. A longer one is a fault or an attack, and must not stop a channel or
/// hold a delivery until it expires: after a day the provider is asked again.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The shortest wait that is obeyed: a provider that names none, or zero, is not called in a loop.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// A wait as it was read, at most [`LONGEST`].
#[must_use]
pub fn capped(requested: Duration) -> Duration {
    requested.min(LONGEST)
}

/// How long to wait if a provider asks for this: from [`SHORTEST`] to [`LONGEST`].
#[must_use]
pub fn obey(requested: Duration) -> Duration {
    capped(requested).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_second_to_a_day() {
        let day = 24 * 3600;
        for (requested, obeyed) in [
            (0, 1),
            (1, 1),
            (30, 30),
            (3601, 3601),
            (day, day),
            (day + 1, day),
            (1 << 40, day),
            (u64::MAX, day),
        ] {
            assert_eq!(obey(Duration::from_secs(requested)).as_secs(), obeyed, "{requested}");
            assert_eq!(capped(Duration::from_secs(requested)).as_secs(), requested.min(day), "{requested}");
        }
    }
}
