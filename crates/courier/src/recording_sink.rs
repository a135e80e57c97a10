//! A feedback sink in memory, for the tests of channels: it records what it is given, and fails on request.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, CodedReason, OrderId, Reason};

use crate::feedback::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, ReceiptResult, SuppressionList,
};

/// Whether calls succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SinkState {
    /// They do.
    #[default]
    Storing,
    /// They fail: nothing can be stored.
    Unavailable,
    /// They never return.
    Silent,
}

/// A change of a suppression list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListChange {
    /// An address was suppressed.
    Suppressed(Address, SuppressionList, Reason),
    /// The address of an attempt was suppressed.
    SuppressedRecipient(AttemptId, SuppressionList, Reason),
    /// An address was taken off a list. An opt-in for several reasons is several changes.
    OptedIn(Address, SuppressionList, Reason),
}

/// What a sink was given, and how it answers.
#[derive(Debug, Clone, Default)]
pub struct SinkRecord {
    /// The receipts it stored, in order.
    pub receipts: Vec<DeliveryReceipt>,
    /// The changes of lists it stored, in order.
    pub list_changes: Vec<ListChange>,
    /// All notices, stored or not.
    pub notices: Vec<ConsentNotice>,
    /// The orders it remembers by short names, and for how long.
    pub names: BTreeMap<String, (OrderId, Duration)>,
    /// How often it was asked to remember one.
    pub remembered: usize,
    /// How many calls failed because it was unavailable.
    pub failed: usize,
    /// Whether calls succeed.
    pub state: SinkState,
    /// Attempts that do not exist.
    pub unknown_attempts: HashSet<AttemptId>,
    /// Whether no attempt exists.
    pub knows_no_attempt: bool,
    /// Whether every notice about an attempt is a copy of an earlier one.
    pub knows_every_notice: bool,
}

/// A feedback sink in memory.
#[derive(Debug, Default)]
pub struct RecordingSink(Mutex<SinkRecord>);

impl RecordingSink {
    /// What it was given so far. Lock it briefly: calls wait for it. How it answers can be changed here too.
    pub fn record(&self) -> MutexGuard<'_, SinkRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes calls succeed, fail or hang from now on.
    pub fn set(&self, state: SinkState) {
        self.record().state = state;
    }

    /// The receipts it stored, in order.
    #[must_use]
    pub fn receipts(&self) -> Vec<DeliveryReceipt> {
        self.record().receipts.clone()
    }

    /// The receipts it stored, in order, without the codes of the provider, for comparisons that are not about these.
    #[must_use]
    pub fn uncoded_receipts(&self) -> Vec<DeliveryReceipt> {
        let uncoded = |receipt: DeliveryReceipt| DeliveryReceipt {
            reason: CodedReason::uncoded(receipt.reason.reason),
            ..receipt
        };
        self.receipts().into_iter().map(uncoded).collect()
    }

    /// The changes of lists it stored, in order.
    #[must_use]
    pub fn list_changes(&self) -> Vec<ListChange> {
        self.record().list_changes.clone()
    }

    /// All notices, stored or not, in order.
    #[must_use]
    pub fn notices(&self) -> Vec<ConsentNotice> {
        self.record().notices.clone()
    }

    async fn available(&self) -> Result<(), NotStored> {
        let state = self.record().state;
        match state {
            SinkState::Storing => Ok(()),
            SinkState::Unavailable => {
                self.record().failed += 1;
                Err(NotStored("the test sink is unavailable".into()))
            }
            SinkState::Silent => std::future::pending().await,
        }
    }
}

#[async_trait]
impl FeedbackSink for RecordingSink {
    async fn receipt(&self, receipt: &DeliveryReceipt) -> Result<ReceiptResult, NotStored> {
        self.available().await?;
        let mut record = self.record();
        let is_known = record.receipts.contains(receipt);
        record.receipts.push(receipt.clone());
        Ok(match (record.unknown_attempts.contains(&receipt.attempt), is_known) {
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
        self.record().notices.push(notice.clone());
        self.available().await?;
        self.record().list_changes.push(ListChange::Suppressed(address.clone(), list.clone(), reason));
        Ok(ReceiptResult::Changed)
    }

    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        self.record().notices.push(notice.clone());
        self.available().await?;
        let mut record = self.record();
        if record.knows_every_notice {
            return Ok(ReceiptResult::Known);
        }
        if record.knows_no_attempt || record.unknown_attempts.contains(of) {
            return Ok(ReceiptResult::NoSuchAttempt);
        }
        record.list_changes.push(ListChange::SuppressedRecipient(of.clone(), list.clone(), reason));
        Ok(ReceiptResult::Changed)
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &SuppressionList,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, NotStored> {
        self.record().notices.push(notice.clone());
        self.available().await?;
        let change = |reason: &Reason| ListChange::OptedIn(address.clone(), list.clone(), *reason);
        self.record().list_changes.extend(reasons.iter().map(change));
        Ok(true)
    }

    async fn remember(&self, name: &str, order: &OrderId, keep: Duration) -> Result<(), NotStored> {
        self.available().await?;
        let mut record = self.record();
        record.remembered += 1;
        record.names.insert(name.to_owned(), (order.clone(), keep));
        Ok(())
    }

    async fn recall(&self, name: &str) -> Result<Option<OrderId>, NotStored> {
        self.available().await?;
        Ok(self.record().names.get(name).map(|(order, _)| order.clone()))
    }
}
