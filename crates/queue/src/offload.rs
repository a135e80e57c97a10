//! Checks large bodies away from the async workers.
//!
//! Work longer than a fraction of a millisecond would block every other request on its worker, including `/livez`. It
//! runs on separate threads, as many at a time as leave one core free; later work waits in turn.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::auth::Share;
use crate::problem::{Code, Problem};

/// Bodies up to this many bytes are checked where they were read: a few hundred recipients.
pub(crate) const SMALL_BODY: usize = 8 * 1024;

/// Permits for such work; clones share them. Keys take turns: each has its share of the permits, and waiters are
/// served in order of arrival.
#[derive(Debug, Clone)]
pub(crate) struct Offload(Arc<Semaphore>);

impl Offload {
    /// One permit fewer than there are cores, at least one.
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))))
    }

    /// How many permits there are.
    pub(crate) fn places(&self) -> usize {
        self.0.available_permits()
    }

    /// Does the work of a key: inline if it is `small`, otherwise on a separate thread once a permit is free. A
    /// caller that is dropped gives up its turn; work that has started runs to its end and keeps its permit until then.
    ///
    /// # Errors
    /// The error of the work.
    pub(crate) async fn run<T, W>(&self, share: &Arc<Share>, small: bool, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, Problem> + Send + 'static,
    {
        if small {
            return work();
        }
        let closed = |_| Problem::new(Code::Overloaded, "the service is stopping");
        // First the key's own turn, then a permit: one key never takes more than its share before others.
        let turn = share.turn().await.map_err(closed)?;
        let place = self.0.clone().acquire_owned().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (turn, place);
            work()
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                // Reported by the guard of the request.
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(Problem::new(Code::Overloaded, "the service is stopping")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::auth::Whole;

    fn share(checks: usize) -> Arc<Share> {
        Arc::new(Share::new(Whole { requests: 1, trackers: 1, body_kib: 1, checks }))
    }

    #[tokio::test]
    async fn no_more_work_runs_at_a_time_than_there_are_permits() {
        let aside = Offload(Arc::new(Semaphore::new(2)));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let share = share(20);
        let all = (0..20).map(|n| {
            let (running, most) = (running.clone(), most.clone());
            aside.run(&share, false, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                (0..100_000_u32).for_each(|n| {
                    std::hint::black_box(n);
                });
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            })
        });
        let done = futures::future::try_join_all(all).await.unwrap();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn the_worker_keeps_running_while_the_work_waits() {
        let (aside, (go, wait)) = (Offload::new(), mpsc::channel::<()>());
        let share = share(1);
        let work = aside.run(&share, false, move || {
            wait.recv().expect("the test sends");
            Ok(())
        });
        // On the only worker: if the work were done here, this could not send.
        let other = async {
            go.send(()).expect("the work waits");
            Ok(())
        };
        let done = futures::future::try_join(work, other).await;
        assert!(done.is_ok());
    }

    #[tokio::test]
    async fn a_panic_reaches_the_request_and_frees_the_permit() {
        let aside = Offload(Arc::new(Semaphore::new(1)));
        let inner = aside.clone();
        let lost =
            tokio::spawn(async move { inner.run::<(), _>(&share(1), false, || panic!("planted")).await });
        assert!(lost.await.unwrap_err().is_panic());
        assert_eq!(aside.run(&share(1), false, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_key_with_much_work_leaves_the_next_turn_to_another() {
        let aside = Offload(Arc::new(Semaphore::new(1)));
        let (greedy, modest) = (share(1), share(1));
        let done = Arc::new(AtomicUsize::new(0));
        let (go, wait) = mpsc::channel::<()>();
        let held = tokio::spawn({
            let (aside, share) = (aside.clone(), greedy.clone());
            async move { aside.run(&share, false, move || Ok(wait.recv().is_ok())).await }
        });
        let many: Vec<_> = (0..50)
            .map(|_| {
                let (aside, share, done) = (aside.clone(), greedy.clone(), done.clone());
                tokio::spawn(async move {
                    aside.run(&share, false, move || Ok(done.fetch_add(1, Ordering::SeqCst))).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let one = tokio::spawn({
            let (aside, share, done) = (aside.clone(), modest, done.clone());
            async move { aside.run(&share, false, move || Ok(done.load(Ordering::SeqCst))).await }
        });
        tokio::task::yield_now().await;
        go.send(()).expect("the first waits");
        let before = one.await.expect("no panic").expect("done");
        assert!(before <= 1, "{before} of the other key went first");
        assert!(held.await.expect("no panic").expect("done"));
        for task in many {
            assert!(task.await.expect("no panic").is_ok());
        }
    }
}
