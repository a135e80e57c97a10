//! The server's clock, which only the caller moves.

/// The time in a world.
///
/// Every command and every script call sees one frozen reading for expiry. `TIME` may run ahead of it, as it
/// does on Redis 7.0, where a script's expiry clock is frozen at its start while `TIME` moves on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FakeClock {
    micros: i64,
    lead_ms: i64,
}

impl FakeClock {
    /// A clock that shows `ms` milliseconds since the epoch.
    #[must_use]
    pub fn at_ms(ms: i64) -> Self {
        Self { micros: ms.saturating_mul(1000), lead_ms: 0 }
    }

    /// A clock that shows `micros` microseconds since the epoch.
    #[must_use]
    pub fn at_micros(micros: i64) -> Self {
        Self { micros, lead_ms: 0 }
    }

    /// The same clock, with `TIME` inside a script running `lead_ms` milliseconds ahead of the expiry clock.
    #[must_use]
    pub fn with_lead_ms(self, lead_ms: i64) -> Self {
        Self { lead_ms, ..self }
    }

    /// The same clock, `ms` milliseconds later.
    #[must_use]
    pub fn later_by_ms(self, ms: i64) -> Self {
        Self { micros: self.micros.saturating_add(ms.saturating_mul(1000)), ..self }
    }

    /// Milliseconds since the epoch that decide whether a key has expired.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.micros.div_euclid(1000)
    }

    /// Microseconds since the epoch on the expiry clock.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// How far `TIME` runs ahead of the expiry clock, in milliseconds.
    #[must_use]
    pub fn lead_ms(self) -> i64 {
        self.lead_ms
    }

    /// What `TIME` shows, in microseconds since the epoch.
    #[must_use]
    pub fn running_micros(self) -> i64 {
        self.micros.saturating_add(self.lead_ms.saturating_mul(1000))
    }

    /// What `TIME` shows, in milliseconds since the epoch.
    #[must_use]
    pub fn running_ms(self) -> i64 {
        self.running_micros().div_euclid(1000)
    }
}
