//! Tasks beside the engine that panic: a call is answered all the same, so that the engine goes on; a loop is started again.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use posthaste_store::{CallError, Fault};
use tokio_util::sync::CancellationToken;

use crate::metrics::Meter;

/// How long a loop rests that panicked.
const REST: Duration = Duration::from_secs(1);

/// Makes a call. Should it panic, that is told like a reply that can't be used: whoever waits for the answer gets one.
pub(crate) async fn noticed<T>(
    meter: &Meter,
    what: &'static str,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(
            call = what,
            "a call of the courier panicked: this is a defect, please report it; the courier goes on"
        );
        meter.alarm("panic");
        Err(CallError::Fault(Fault::Panicked(what)))
    })
}

/// Runs a loop until it ends by itself, or `stop`. One that panics is started anew.
pub(crate) async fn kept_running<F: Future<Output = ()>>(
    meter: &Meter,
    stop: &CancellationToken,
    what: &'static str,
    start: impl Fn() -> F,
) {
    while AssertUnwindSafe(start()).catch_unwind().await.is_err() {
        tracing::error!(
            task = what,
            "a task of the courier panicked: this is a defect, please report it; it is started again"
        );
        meter.alarm("panic");
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
    async fn a_call_that_panics_is_answered() {
        let panics = async { panic!("a test's panic") };
        let answer: Result<(), _> = noticed(&meter(), "claim", panics).await;
        assert!(matches!(answer, Err(CallError::Fault(Fault::Panicked("claim")))), "{answer:?}");
        assert!(matches!(noticed(&meter(), "claim", async { Ok(7) }).await, Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_started_again() {
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
