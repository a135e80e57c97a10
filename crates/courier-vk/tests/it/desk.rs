//! A desk that writes down what it is told, and can be away.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{AttemptId, Desk, List, NotStored, Noted, Notice, Receipt};
use posthaste_model::{Address, Reason, Suffix};

/// What it was told: put on the list, or taken off it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Suppress(String),
    Lift(String),
}

/// The desk.
#[derive(Default)]
pub(crate) struct FakeDesk {
    told: Mutex<Vec<Told>>,
    /// Every notice it was told, stored or not.
    pub(crate) notices: Mutex<Vec<Notice>>,
    away: AtomicBool,
}

impl FakeDesk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on nothing can be stored, or can again.
    pub(crate) fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn note(&self, told: Told, list: &List, reason: Reason) -> Result<(), NotStored> {
        if self.away.load(Ordering::SeqCst) {
            return Err(NotStored("away".into()));
        }
        assert_eq!((list, reason), (&List::Channel, Reason::Blocked));
        self.told.lock().unwrap().push(told);
        Ok(())
    }
}

#[async_trait]
impl Desk for FakeDesk {
    async fn receipt(&self, _: &Receipt) -> Result<Noted, NotStored> {
        panic!("VK has no receipts")
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &List,
        reason: Reason,
        notice: &Notice,
    ) -> Result<Noted, NotStored> {
        self.notices.lock().unwrap().push(notice.clone());
        self.note(Told::Suppress(address.expose().to_owned()), list, reason).map(|()| Noted::Changed)
    }

    async fn suppress_recipient(
        &self,
        _: &AttemptId,
        _: &List,
        _: Reason,
        _: &Notice,
    ) -> Result<Noted, NotStored> {
        panic!("VK has no receipts")
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &List,
        reasons: &[Reason],
        notice: &Notice,
    ) -> Result<bool, NotStored> {
        self.notices.lock().unwrap().push(notice.clone());
        let [reason] = reasons else { panic!("{reasons:?}") };
        self.note(Told::Lift(address.expose().to_owned()), list, *reason).map(|()| true)
    }

    async fn remember(&self, _: &str, _: &Suffix, _: Duration) -> Result<(), NotStored> {
        panic!("nothing has a short name here")
    }

    async fn recall(&self, _: &str) -> Result<Option<Suffix>, NotStored> {
        panic!("nothing has a short name here")
    }
}
