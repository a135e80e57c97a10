//! Checks of big bodies, beside the async workers.
//!
//! What takes longer than a fraction of a millisecond would hold up every other request of its worker, `/livez` among them.
//! It runs on threads of its own, so many at a time as leave a core to the rest; who comes later waits in turn.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::auth::Share;
use crate::problem::{Code, Problem};

/// Bytes of a body that is checked where it was read: some hundred recipients.
pub(crate) const SMALL_BODY: usize = 8 * 1024;

/// The places for such work; clones are the same. Keys take turns: each has its share of the places, and of those who wait for one
/// the first comes first.
#[derive(Debug, Clone)]
pub(crate) struct Aside(Arc<Semaphore>);

impl Aside {
    /// As many places as there are cores but one, one at least.
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))))
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.0.available_permits()
    }

    /// Does the work of a key: here when it is `small`, else on a thread of its own once there is a place. A caller that leaves gives
    /// up its turn; work that was begun is done to its end and holds its place so long.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn run<T, W>(&self, share: &Arc<Share>, small: bool, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, Problem> + Send + 'static,
    {
        if small {
            return work();
        }
        let closed = |_| Problem::new(Code::Overloaded, "the service is stopping");
        // First the key's own turn, then a place: one key never has more than its share before others.
        let turn = share.turn().await.map_err(closed)?;
        let place = self.0.clone().acquire_owned().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (turn, place);
            work()
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                // Told by whoever guards the request.
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
    async fn no_more_run_at_a_time_than_there_are_places() {
        let aside = Aside(Arc::new(Semaphore::new(2)));
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
    async fn the_worker_goes_on_while_the_work_waits() {
        let (aside, (go, wait)) = (Aside::new(), mpsc::channel::<()>());
        let share = share(1);
        let work = aside.run(&share, false, move || {
            wait.recv().expect("asked to go on");
            Ok(())
        });
        // On the only worker there is: were the work done here, nobody could send.
        let other = async {
            go.send(()).expect("somebody waits");
            Ok(())
        };
        let done = futures::future::try_join(work, other).await;
        assert!(done.is_ok());
    }

    #[tokio::test]
    async fn a_panic_is_that_of_the_request_and_gives_the_place_back() {
        let aside = Aside(Arc::new(Semaphore::new(1)));
        let inner = aside.clone();
        let lost =
            tokio::spawn(async move { inner.run::<(), _>(&share(1), false, || panic!("planted")).await });
        assert!(lost.await.unwrap_err().is_panic());
        assert_eq!(aside.run(&share(1), false, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn one_key_with_much_work_leaves_the_next_turn_to_another() {
        let aside = Aside(Arc::new(Semaphore::new(1)));
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
