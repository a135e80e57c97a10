//! A feedback sink that records what it receives, and can be unavailable.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, ReceiptResult, SuppressionList,
};
use posthaste_model::{Address, OrderId, Reason};

/// What it received: an address to put on the list, or to take off it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FeedbackCall {
    Suppress(String),
    Lift(String),
}

/// The feedback sink.
#[derive(Default)]
pub(crate) struct FakeFeedback {
    told: Mutex<Vec<FeedbackCall>>,
    /// Every notice it received, stored or not.
    pub(crate) notices: Mutex<Vec<ConsentNotice>>,
    away: AtomicBool,
}

impl FakeFeedback {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets whether storing fails from now on.
    pub(crate) fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn told(&self) -> Vec<FeedbackCall> {
        self.told.lock().unwrap().clone()
    }

    fn note(&self, told: FeedbackCall, list: &SuppressionList, reason: Reason) -> Result<(), NotStored> {
        if self.away.load(Ordering::SeqCst) {
            return Err(NotStored("away".into()));
        }
        assert_eq!((list, reason), (&SuppressionList::Channel, Reason::Blocked));
        self.told.lock().unwrap().push(told);
        Ok(())
    }
}

#[async_trait]
impl FeedbackSink for FakeFeedback {
    async fn receipt(&self, _: &DeliveryReceipt) -> Result<ReceiptResult, NotStored> {
        panic!("VK has no receipts")
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        self.notices.lock().unwrap().push(notice.clone());
        self.note(FeedbackCall::Suppress(address.expose().to_owned()), list, reason)
            .map(|()| ReceiptResult::Changed)
    }

    async fn suppress_recipient(
        &self,
        _: &AttemptId,
        _: &SuppressionList,
        _: Reason,
        _: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        panic!("VK has no receipts")
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &SuppressionList,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, NotStored> {
        self.notices.lock().unwrap().push(notice.clone());
        let [reason] = reasons else { panic!("{reasons:?}") };
        self.note(FeedbackCall::Lift(address.expose().to_owned()), list, *reason).map(|()| true)
    }

    async fn remember(&self, _: &str, _: &OrderId, _: Duration) -> Result<(), NotStored> {
        panic!("this channel has no short names")
    }

    async fn recall(&self, _: &str) -> Result<Option<OrderId>, NotStored> {
        panic!("this channel has no short names")
    }
}
