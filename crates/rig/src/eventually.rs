//! Waiting for conditions instead of sleeping.
//!
//! One setting controls the timeout of all tests: `RIG_PATIENCE_SECONDS` (default 60). A healthy test
//! never waits that long. A slow machine gets a larger number; no test gets a number of its own.

use std::fmt::Display;
use std::panic::Location;
use std::time::{Duration, Instant};

/// The environment variable with the patience in whole seconds.
pub const PATIENCE: &str = "RIG_PATIENCE_SECONDS";

const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// How long a test waits for a condition before it fails: `RIG_PATIENCE_SECONDS`, or 60 seconds when that
/// is unset or not a number.
pub fn patience() -> Duration {
    parse_patience(std::env::var(PATIENCE).ok().as_deref())
}

fn parse_patience(value: Option<&str>) -> Duration {
    value.and_then(|v| v.trim().parse().ok()).map_or(DEFAULT_PATIENCE, Duration::from_secs)
}

/// Calls `probe` repeatedly until it returns `Ok`, and returns that value.
///
/// # Panics
///
/// After [`patience`], with `what` and the last `Err`.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let patience = patience();
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(last) if Instant::now() >= deadline => panic!("{}", failure_text(what, patience, &last)),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// [`eventually`] for async probes; other tasks run while it waits.
///
/// # Panics
///
/// After [`patience`], with `what` and the last `Err`. A probe that never returns is cancelled at the same
/// time.
#[track_caller]
pub fn eventually_async<T, E: Display>(
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let patience = patience();
        let deadline = tokio::time::Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        let mut last: Option<E> = None;
        loop {
            match tokio::time::timeout_at(deadline, probe()).await {
                Ok(Ok(value)) => return value,
                // A probe that never yields is not cancelled by the deadline.
                Ok(Err(e)) if tokio::time::Instant::now() >= deadline => {
                    panic!("{} (called at {caller})", failure_text(what, patience, &e))
                }
                Ok(Err(e)) => last = Some(e),
                Err(_) => match &last {
                    Some(last) => panic!("{} (called at {caller})", failure_text(what, patience, last)),
                    None => panic!("{what}: the probe itself hung for {patience:?} (called at {caller})"),
                },
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn failure_text(what: &str, patience: Duration, last: &impl Display) -> String {
    format!("{what}: not true after {patience:?}; last seen: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_defaults_to_a_minute() {
        assert_eq!(parse_patience(None), Duration::from_secs(60));
        assert_eq!(parse_patience(Some("soon")), Duration::from_secs(60));
        assert_eq!(parse_patience(Some(" 120 ")), Duration::from_secs(120));
    }

    #[test]
    fn returns_the_first_success() {
        let mut requested = 0;
        let answer = eventually("the third answer", || {
            requested += 1;
            if requested == 3 { Ok(requested) } else { Err(format!("only {requested}")) }
        });
        assert_eq!(answer, 3);
    }

    #[tokio::test]
    async fn awaits_the_first_success() {
        let mut requested = 0;
        let answer = eventually_async("the third answer", async || {
            tokio::task::yield_now().await;
            requested += 1;
            if requested == 3 { Ok(requested) } else { Err("not yet") }
        })
        .await;
        assert_eq!(answer, 3);
    }

    #[test]
    fn the_error_names_the_fact_and_what_was_seen() {
        let text = failure_text("ten rows sent", Duration::from_secs(30), &"9 rows");
        assert_eq!(text, "ten rows sent: not true after 30s; last seen: 9 rows");
    }
}
