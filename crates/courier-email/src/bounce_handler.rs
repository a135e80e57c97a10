//! Passes bounces and complaints about an attempt to the feedback sink.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use posthaste_courier::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, NoticeMoment, ReceiptResult,
    SuppressionList,
};
use posthaste_model::{Reason, SenderId};
use tokio::time::{Instant, timeout};

use crate::dsn::{self, BounceReport};
use crate::reply_rules::ReplyRules;
use crate::verp::{AttemptInPath, ReturnPaths, is_named};

/// Timeout of the feedback sink.
const FEEDBACK_TIMEOUT: Duration = Duration::from_secs(30);

/// The bounce is not stored; the sending server must retry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Again {
    /// The feedback sink failed.
    #[error(transparent)]
    NotStored(#[from] NotStored),
    /// The feedback sink did not respond in time.
    #[error("storing it took too long")]
    TooLong,
}

/// Reads messages to return paths, and stores their reports.
#[derive(Clone)]
pub(crate) struct BounceHandler {
    pub(crate) paths: Arc<ReturnPaths>,
    pub(crate) replies: Arc<ReplyRules>,
    pub(crate) feedback: Arc<dyn FeedbackSink>,
}

impl BounceHandler {
    /// The attempt an address names, if messages to it are accepted.
    pub(crate) fn knows(&self, address: &str) -> Option<AttemptInPath> {
        self.paths.read(address)
    }

    /// What a message reports.
    pub(crate) fn read(&self, message: &[u8]) -> BounceReport {
        dsn::read(message, &self.replies)
    }

    /// Passes a report to the feedback sink; stored when this returns.
    pub(crate) async fn tell(&self, of: &AttemptInPath, received: BounceReport) -> Result<(), Again> {
        let reported = match timeout(FEEDBACK_TIMEOUT, self.reported(of, received)).await {
            Ok(reported) => reported?,
            Err(_) => return Err(Again::TooLong),
        };
        let result = match reported {
            None => "ignored",
            Some(ReceiptResult::Changed) => "changed",
            Some(ReceiptResult::Known) => "known",
            Some(ReceiptResult::NoSuchAttempt) => "no_such_attempt",
        };
        counter!("posthaste_bounces_total", "status" => received.word(), "result" => result).increment(1);
        Ok(())
    }

    async fn reported(
        &self,
        of: &AttemptInPath,
        received: BounceReport,
    ) -> Result<Option<ReceiptResult>, NotStored> {
        if matches!(received, BounceReport::Nothing(_)) {
            return Ok(None);
        }
        let Some(attempt) = self.attempt(of).await? else { return Ok(Some(ReceiptResult::NoSuchAttempt)) };
        match received {
            BounceReport::Word { word, reason, suppress_after } => self
                .feedback
                .receipt(&DeliveryReceipt { attempt, word, reason, suppress_after })
                .await
                .map(Some),
            BounceReport::Complaint => {
                // A message has one complaint at most; its server may deliver it several times.
                let notice = ConsentNotice::named(
                    format!("{attempt} complaint"),
                    NoticeMoment::Received(Instant::now()),
                );
                unsubscribe_recipient(self.feedback.as_ref(), &attempt, &notice).await.map(Some)
            }
            BounceReport::Nothing(_) => Ok(None),
        }
    }

    async fn attempt(&self, of: &AttemptInPath) -> Result<Option<AttemptId>, NotStored> {
        let (name, parcel, delivery, attempt) = match of {
            AttemptInPath::Attempt(attempt) => return Ok(Some(attempt.clone())),
            AttemptInPath::Short { name, parcel, delivery, attempt } => (name, *parcel, *delivery, *attempt),
        };
        let order = self.feedback.recall(name).await?.filter(|order| is_named(order, name));
        Ok(order.map(|order_id| AttemptId { order_id, parcel, delivery, attempt }))
    }
}

/// Suppresses the address of an attempt for the sender of its order.
pub(crate) async fn unsubscribe_recipient(
    feedback: &dyn FeedbackSink,
    attempt: &AttemptId,
    notice: &ConsentNotice,
) -> Result<ReceiptResult, NotStored> {
    let Ok(sender) = attempt.order_id.sender().parse::<SenderId>() else {
        return Ok(ReceiptResult::NoSuchAttempt);
    };
    feedback.suppress_recipient(attempt, &SuppressionList::Sender(sender), Reason::Unsubscribed, notice).await
}
