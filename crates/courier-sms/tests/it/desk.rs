//! A desk that writes down what it is told, and can be away.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{AttemptId, Desk, List, NotStored, Noted, Notice, Receipt};
use posthaste_model::{Address, Reason, Suffix};

/// The desk.
#[derive(Default)]
pub(crate) struct FakeDesk {
    pub(crate) receipts: Mutex<Vec<Receipt>>,
    pub(crate) suppressed: Mutex<Vec<(String, Reason)>>,
    pub(crate) lifted: Mutex<Vec<(String, Reason)>>,
    pub(crate) notices: Mutex<Vec<Notice>>,
    pub(crate) names: Mutex<HashMap<String, Suffix>>,
    /// Attempts there are no such.
    pub(crate) strangers: Mutex<HashSet<AttemptId>>,
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

    fn there(&self) -> Result<(), NotStored> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(NotStored("away".into())),
            false => Ok(()),
        }
    }

    pub(crate) fn told(&self) -> Vec<Receipt> {
        self.receipts.lock().unwrap().clone()
    }
}

#[async_trait]
impl Desk for FakeDesk {
    async fn receipt(&self, receipt: &Receipt) -> Result<Noted, NotStored> {
        self.there()?;
        let known = self.told().contains(receipt);
        self.receipts.lock().unwrap().push(receipt.clone());
        Ok(match (self.strangers.lock().unwrap().contains(&receipt.attempt), known) {
            (true, _) => Noted::NoSuchAttempt,
            (_, true) => Noted::Known,
            _ => Noted::Changed,
        })
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &List,
        reason: Reason,
        notice: &Notice,
    ) -> Result<Noted, NotStored> {
        self.there()?;
        assert_eq!(*list, List::Channel);
        self.suppressed.lock().unwrap().push((address.expose().to_owned(), reason));
        self.notices.lock().unwrap().push(notice.clone());
        Ok(Noted::Changed)
    }

    async fn suppress_recipient(
        &self,
        _: &AttemptId,
        _: &List,
        _: Reason,
        _: &Notice,
    ) -> Result<Noted, NotStored> {
        panic!("nobody asks for it here")
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &List,
        reasons: &[Reason],
        notice: &Notice,
    ) -> Result<bool, NotStored> {
        self.there()?;
        assert_eq!(*list, List::Channel);
        let [reason] = *reasons else { panic!("{reasons:?}") };
        self.notices.lock().unwrap().push(notice.clone());
        self.lifted.lock().unwrap().push((address.expose().to_owned(), reason));
        Ok(true)
    }

    async fn remember(&self, name: &str, order: &Suffix, _: Duration) -> Result<(), NotStored> {
        self.there()?;
        self.names.lock().unwrap().insert(name.to_owned(), order.clone());
        Ok(())
    }

    async fn recall(&self, name: &str) -> Result<Option<Suffix>, NotStored> {
        self.there()?;
        Ok(self.names.lock().unwrap().get(name).cloned())
    }
}
