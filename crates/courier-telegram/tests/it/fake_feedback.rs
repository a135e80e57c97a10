//! A feedback sink that records what it is given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, NoticeMoment, ReceiptResult,
    SuppressionList,
};
use posthaste_model::{Address, OrderId, Reason};
use posthaste_rig::eventually_async;

/// Records the addresses put on the channel's suppression list and taken off it.
#[derive(Default)]
pub(crate) struct FakeFeedback {
    /// "+7 blocked" or "-7 blocked".
    lines: Mutex<Vec<String>>,
    /// Names of notices, and their moments.
    pub(crate) notices: Mutex<Vec<(String, NoticeMoment)>>,
    closed: AtomicBool,
    refused: AtomicBool,
}

impl FakeFeedback {
    /// A sink that refuses everything until it is opened.
    pub(crate) fn closed() -> Self {
        Self { closed: AtomicBool::new(true), ..Self::default() }
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Whether it refused anything.
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn hear(&self, notice: &ConsentNotice) {
        lock(&self.notices).push((notice.name().unwrap_or_default().to_owned(), notice.said()));
    }

    fn write(
        &self,
        sign: char,
        address: &Address,
        list: &SuppressionList,
        reason: Reason,
    ) -> Result<(), NotStored> {
        assert_eq!(*list, SuppressionList::Channel);
        if self.closed.load(Ordering::SeqCst) {
            self.refused.store(true, Ordering::SeqCst);
            return Err(NotStored("closed".into()));
        }
        lock(&self.lines).push(format!("{sign}{} {}", address.expose(), reason.word()));
        Ok(())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }

    pub(crate) async fn eventually(&self, expected: &[&str]) {
        eventually_async("the sink received it", async || match self.lines() {
            lines if lines == expected => Ok(()),
            lines => Err(format!("{lines:?}")),
        })
        .await;
    }
}

#[async_trait]
impl FeedbackSink for FakeFeedback {
    async fn receipt(&self, _: &DeliveryReceipt) -> Result<ReceiptResult, NotStored> {
        panic!("Telegram has no receipts")
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        self.hear(notice);
        self.write('+', address, list, reason).map(|()| ReceiptResult::Changed)
    }

    async fn suppress_recipient(
        &self,
        _: &AttemptId,
        _: &SuppressionList,
        _: Reason,
        _: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        panic!("updates name no attempt")
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &SuppressionList,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, NotStored> {
        self.hear(notice);
        reasons.iter().try_for_each(|reason| self.write('-', address, list, *reason))?;
        Ok(true)
    }

    async fn remember(&self, _: &str, _: &OrderId, _: Duration) -> Result<(), NotStored> {
        panic!("nothing to remember")
    }

    async fn recall(&self, _: &str) -> Result<Option<OrderId>, NotStored> {
        panic!("nothing to recall")
    }
}

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
