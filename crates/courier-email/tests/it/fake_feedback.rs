//! A feedback sink that records its calls, and a transport that listens and reports to it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, NoticeMoment, ReceiptResult,
    SuppressionList, Transport,
};
use posthaste_courier_email::{EmailTransport, Open};
use posthaste_model::{Address, OrderId, Reason};
use posthaste_rig::eventually;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The recorded calls.
#[derive(Default)]
pub(crate) struct FakeFeedback {
    receipts: Mutex<Vec<DeliveryReceipt>>,
    leavers: Mutex<Vec<(AttemptId, SuppressionList, Reason)>>,
    pub(crate) names: Mutex<BTreeMap<String, (OrderId, Duration)>>,
    pub(crate) remembered: AtomicU64,
    /// Nothing can be stored.
    pub(crate) away: AtomicBool,
    /// The names by which copies of the notices are recognized.
    pub(crate) notices: Mutex<Vec<Option<String>>>,
    /// Every notice is a copy of one whose entry was lifted.
    pub(crate) knows_it: AtomicBool,
    /// Every attempt is unknown.
    pub(crate) knows_nobody: AtomicBool,
}

impl FakeFeedback {
    pub(crate) fn receipts(&self) -> Vec<DeliveryReceipt> {
        self.receipts.lock().unwrap().clone()
    }

    pub(crate) fn leavers(&self) -> Vec<(AttemptId, SuppressionList, Reason)> {
        self.leavers.lock().unwrap().clone()
    }

    fn is_there(&self) -> Result<(), NotStored> {
        if self.away.load(Ordering::SeqCst) { Err(NotStored("it is away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl FeedbackSink for FakeFeedback {
    async fn receipt(&self, receipt: &DeliveryReceipt) -> Result<ReceiptResult, NotStored> {
        self.is_there()?;
        let mut receipts = self.receipts.lock().unwrap();
        let is_new = !receipts.contains(receipt);
        receipts.push(receipt.clone());
        Ok(if is_new { ReceiptResult::Changed } else { ReceiptResult::Known })
    }

    async fn suppress(
        &self,
        _: &Address,
        _: &SuppressionList,
        _: Reason,
        _: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        panic!("the e-mail channel names attempts, not addresses");
    }

    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        self.is_there()?;
        assert!(matches!(notice.said(), NoticeMoment::Heard(_)));
        if self.knows_it.load(Ordering::SeqCst) {
            return Ok(ReceiptResult::Known);
        }
        self.notices.lock().unwrap().push(notice.name().map(str::to_owned));
        if self.knows_nobody.load(Ordering::SeqCst) {
            return Ok(ReceiptResult::NoSuchAttempt);
        }
        self.leavers.lock().unwrap().push((of.clone(), list.clone(), reason));
        Ok(ReceiptResult::Changed)
    }

    async fn opt_in(
        &self,
        _: &Address,
        _: &SuppressionList,
        _: &[Reason],
        _: &ConsentNotice,
    ) -> Result<bool, NotStored> {
        panic!("the e-mail channel lifts no suppression");
    }

    async fn remember(&self, name: &str, order: &OrderId, keep: Duration) -> Result<(), NotStored> {
        self.is_there()?;
        self.remembered.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().insert(name.to_owned(), (order.clone(), keep));
        Ok(())
    }

    async fn recall(&self, name: &str) -> Result<Option<OrderId>, NotStored> {
        self.is_there()?;
        Ok(self.names.lock().unwrap().get(name).map(|(order, _)| order.clone()))
    }
}

/// A transport that listens.
pub(crate) struct Served {
    pub(crate) email: Arc<EmailTransport>,
    pub(crate) feedback: Arc<FakeFeedback>,
    pub(crate) open: Open,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), String>>,
}

impl Served {
    pub(crate) async fn start(email: EmailTransport) -> Self {
        let (email, feedback, stop) =
            (Arc::new(email), Arc::new(FakeFeedback::default()), CancellationToken::new());
        let task = tokio::spawn({
            let (email, feedback, stop) = (Arc::clone(&email), Arc::clone(&feedback), stop.clone());
            async move { email.serve(feedback, stop).await }
        });
        let open = eventually("the ports", || email.open().cloned().ok_or("not open"));
        Self { email, feedback, open, stop, task }
    }

    pub(crate) fn bounces(&self) -> SocketAddr {
        self.open.bounces.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
