//! What is known about a database that went back or was wiped.

use std::fmt;
use std::time::Duration;

use posthaste_model::{OrderId, UnixMs};
use posthaste_protocol::scripts::halt::HaltCause;

use crate::marks::Loss;

/// Why sending is stopped, and what is known to be lost. Its `Display` text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltState {
    /// What happened; `None` until the record of the process that detected it has been read.
    pub cause: Option<HaltCause>,
    /// When it was first detected, by the server's clock.
    pub noticed: Option<UnixMs>,
    /// The first change known to be lost.
    pub since: Option<UnixMs>,
    /// The last change known to be lost.
    pub last: Option<UnixMs>,
    /// Acknowledged orders known to be lost.
    pub lost: u64,
    /// The first and the last of them, by time of acceptance.
    pub ends: Option<[(OrderId, UnixMs); 2]>,
}

impl HaltState {
    pub(crate) fn of(cause: impl Into<Option<HaltCause>>) -> Self {
        Self { cause: cause.into(), noticed: None, since: None, last: None, lost: 0, ends: None }
    }

    /// How much time is lost, as far as known.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        Some(self.last?.since(self.since?))
    }

    /// Adds the loss known to one process.
    pub(crate) fn add(&mut self, loss: &Loss) {
        self.since = earlier(self.since, loss.since);
        self.last = self.last.max(loss.last);
        self.lost += loss.orders.len() as u64;
        let ends = loss.orders.first().zip(loss.orders.last());
        self.widen(ends.map(|(first, last)| [first.clone(), last.clone()]));
    }

    /// Adds the state of another partition.
    pub(crate) fn join(&mut self, other: Self) {
        self.cause = match (self.cause, other.cause) {
            (Some(HaltCause::Wiped), _) | (_, Some(HaltCause::Wiped)) => Some(HaltCause::Wiped),
            (known, other) => known.or(other),
        };
        self.noticed = earlier(self.noticed, other.noticed);
        self.since = earlier(self.since, other.since);
        self.last = self.last.max(other.last);
        self.lost += other.lost;
        self.widen(other.ends);
    }

    fn widen(&mut self, ends: Option<[(OrderId, UnixMs); 2]>) {
        let Some([first, last]) = ends else { return };
        self.ends = Some(match self.ends.take() {
            None => [first, last],
            Some([known_first, known_last]) => [
                if first.1 < known_first.1 { first } else { known_first },
                if last.1 > known_last.1 { last } else { known_last },
            ],
        });
    }
}

fn earlier(a: Option<UnixMs>, b: Option<UnixMs>) -> Option<UnixMs> {
    a.into_iter().chain(b).min()
}

/// A moment in a format for people and programs.
pub(crate) fn moment(at: UnixMs) -> String {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.to_string())
}

impl fmt::Display for HaltState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.span()) {
            (None, _) => f.write_str("the database went back or was wiped")?,
            (Some(HaltCause::Wiped), _) => f.write_str("the database was wiped")?,
            (Some(HaltCause::WentBack), Some(span)) => {
                write!(f, "the database went back by about {} s", span.as_millis().div_ceil(1_000).max(1))?;
            }
            (Some(HaltCause::WentBack), None) => f.write_str("the database went back")?,
        }
        if let Some(last) = self.last {
            write!(f, " (to before {})", moment(self.since.unwrap_or(last)))?;
        }
        if let Some([first, last]) = &self.ends {
            write!(
                f,
                "; {} accepted orders are lost, from {} ({}) to {} ({})",
                self.lost,
                first.0.wire_id(),
                moment(first.1),
                last.0.wire_id(),
                moment(last.1)
            )?;
        }
        f.write_str(
            "; sending is stopped; to go on, run `posthaste recover --assume sent` or `--assume unsent`",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_described_in_words() {
        let mut halt = HaltState::of(HaltCause::WentBack);
        assert!(halt.to_string().starts_with("the database went back; sending is stopped"), "{halt}");
        let order =
            |n: u64| (OrderId::new(&"office".parse().unwrap(), n), UnixMs(1_763_676_000_000 + n * 1_000));
        let loss = Loss {
            since: Some(UnixMs(1_763_676_000_000)),
            last: Some(UnixMs(1_763_676_011_100)),
            orders: vec![order(1), order(2), order(3)],
            ..Loss::default()
        };
        halt.add(&loss);
        assert_eq!(
            halt.to_string(),
            "the database went back by about 12 s (to before 2025-11-20T22:00:00Z); 3 accepted orders are lost, from \
             office.1 (2025-11-20T22:00:01Z) to office.3 (2025-11-20T22:00:03Z); sending is stopped; to go on, run \
             `posthaste recover --assume sent` or `--assume unsent`"
        );
        let mut all = HaltState::of(HaltCause::WentBack);
        all.join(halt);
        all.join(HaltState { lost: 2, ends: Some([order(0), order(2)]), ..HaltState::of(HaltCause::Wiped) });
        assert_eq!((all.lost, all.ends), (5, Some([order(0), order(3)])));
        assert_eq!(all.cause, Some(HaltCause::Wiped));
        let received = HaltState::of(None).to_string();
        assert!(
            received.starts_with("the database went back or was wiped; sending is stopped; to go on, run"),
            "{received}"
        );
        let mut received = HaltState::of(None);
        received.join(HaltState::of(HaltCause::WentBack));
        assert_eq!(received.cause, Some(HaltCause::WentBack));
    }
}
