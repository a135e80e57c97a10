//! A feedback sink that records its calls, and can be unavailable.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, ReceiptResult, SuppressionList,
};
use posthaste_model::{Address, OrderId, Reason};

/// The feedback sink.
#[derive(Default)]
pub(crate) struct FakeFeedback {
    pub(crate) receipts: Mutex<Vec<DeliveryReceipt>>,
    pub(crate) suppressed: Mutex<Vec<(String, Reason)>>,
    pub(crate) lifted: Mutex<Vec<(String, Reason)>>,
    pub(crate) notices: Mutex<Vec<ConsentNotice>>,
    pub(crate) names: Mutex<HashMap<String, OrderId>>,
    /// Attempts that do not exist.
    pub(crate) strangers: Mutex<HashSet<AttemptId>>,
    away: AtomicBool,
}

impl FakeFeedback {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes storing fail from now on, or work again.
    pub(crate) fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn there(&self) -> Result<(), NotStored> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(NotStored("away".into())),
            false => Ok(()),
        }
    }

    pub(crate) fn told(&self) -> Vec<DeliveryReceipt> {
        self.receipts.lock().unwrap().clone()
    }
}

#[async_trait]
impl FeedbackSink for FakeFeedback {
    async fn receipt(&self, receipt: &DeliveryReceipt) -> Result<ReceiptResult, NotStored> {
        self.there()?;
        let known = self.told().contains(receipt);
        self.receipts.lock().unwrap().push(receipt.clone());
        Ok(match (self.strangers.lock().unwrap().contains(&receipt.attempt), known) {
            (true, _) => ReceiptResult::NoSuchAttempt,
            (_, true) => ReceiptResult::Known,
            _ => ReceiptResult::Changed,
        })
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        self.there()?;
        assert_eq!(*list, SuppressionList::Channel);
        self.suppressed.lock().unwrap().push((address.expose().to_owned(), reason));
        self.notices.lock().unwrap().push(notice.clone());
        Ok(ReceiptResult::Changed)
    }

    async fn suppress_recipient(
        &self,
        _: &AttemptId,
        _: &SuppressionList,
        _: Reason,
        _: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        panic!("not used in these tests")
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &SuppressionList,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, NotStored> {
        self.there()?;
        assert_eq!(*list, SuppressionList::Channel);
        let [reason] = *reasons else { panic!("{reasons:?}") };
        self.notices.lock().unwrap().push(notice.clone());
        self.lifted.lock().unwrap().push((address.expose().to_owned(), reason));
        Ok(true)
    }

    async fn remember(&self, name: &str, order: &OrderId, _: Duration) -> Result<(), NotStored> {
        self.there()?;
        self.names.lock().unwrap().insert(name.to_owned(), order.clone());
        Ok(())
    }

    async fn recall(&self, name: &str) -> Result<Option<OrderId>, NotStored> {
        self.there()?;
        Ok(self.names.lock().unwrap().get(name).cloned())
    }
}
