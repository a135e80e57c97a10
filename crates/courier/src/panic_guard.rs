//! Panics in background tasks: a call that panics still returns an answer, so the engine goes on; a loop is
//! restarted.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use posthaste_store::{CallError, InvalidReply};
use tokio_util::sync::CancellationToken;

use crate::metrics::Meter;

/// How long to wait before restarting a loop that panicked.
const REST: Duration = Duration::from_secs(1);

/// Makes a call. A panic is returned as an invalid reply, so the caller always gets an answer.
pub(crate) async fn noticed<T>(
    meter: &Meter,
    what: &'static str,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(
            event = "courier.call_panicked",
            call = what,
            "a call of the courier panicked; the courier goes on"
        );
        meter.alert("panic");
        Err(CallError::InvalidReply(InvalidReply::Panicked(what)))
    })
}

/// Runs a loop until it ends by itself, or `stop`. A loop that panics is restarted.
pub(crate) async fn kept_running<F: Future<Output = ()>>(
    meter: &Meter,
    stop: &CancellationToken,
    what: &'static str,
    start: impl Fn() -> F,
) {
    while AssertUnwindSafe(start()).catch_unwind().await.is_err() {
        tracing::error!(
            event = "courier.task_panicked",
            task = what,
            "a task of the courier panicked and is restarted"
        );
        meter.alert("panic");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REST) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn meter() -> Meter {
        Meter::new(&"email".parse().unwrap(), None)
    }

    #[tokio::test]
    async fn a_call_that_panics_returns_an_error() {
        let panics = async { panic!("a test's panic") };
        let answer: Result<(), _> = noticed(&meter(), "claim", panics).await;
        assert!(
            matches!(answer, Err(CallError::InvalidReply(InvalidReply::Panicked("claim")))),
            "{answer:?}"
        );
        assert!(matches!(noticed(&meter(), "claim", async { Ok(7) }).await, Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_restarted() {
        let (runs, stop) = (Cell::new(0), CancellationToken::new());
        kept_running(&meter(), &stop, "sweeper", || async {
            runs.set(runs.get() + 1);
            assert!(runs.get() == 3, "a test's panic");
        })
        .await;
        assert_eq!(runs.get(), 3);
        stop.cancel();
        kept_running(&meter(), &stop, "sweeper", || async { panic!("a test's panic") }).await;
    }
}
