//! Waits between tries: exponential, full jitter, capped. Pure: randomness is passed in as a number.

use std::time::Duration;

/// The wait before try `tries + 1`: the fraction `chance` (0 to 1) of `base · 2^tries`, which is at most `cap`.
#[must_use]
pub fn wait(base: Duration, cap: Duration, tries: u8, chance: f64) -> Duration {
    let ceiling =
        base.saturating_mul(1_u32.checked_shl(u32::from(tries.min(31))).unwrap_or(u32::MAX)).min(cap);
    ceiling.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_until_the_cap() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(60));
        let ceilings: Vec<u64> = (0..9).map(|tries| wait(base, cap, tries, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(base, cap, 5, 0.0), Duration::ZERO);
        assert_eq!(wait(base, cap, 255, 1.0), cap);
    }
}
