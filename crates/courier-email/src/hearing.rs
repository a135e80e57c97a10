//! What is heard of an attempt is told to the desk.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use posthaste_courier::{AttemptId, Desk, List, NotStored, Noted, Notice, Receipt, Said};
use posthaste_model::{Reason, SenderId};
use tokio::time::{Instant, timeout};

use crate::replies::Replies;
use crate::report::{self, Heard};
use crate::verp::{Named, ReturnPaths, is_named};

/// How long the desk may take.
const DESK: Duration = Duration::from_secs(30);

/// Whoever told it has to tell it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Again {
    /// The desk says so.
    #[error(transparent)]
    NotStored(#[from] NotStored),
    /// The desk says nothing.
    #[error("it took too long to be stored")]
    TooLong,
}

/// Reads what comes to return paths, and tells it.
#[derive(Clone)]
pub(crate) struct Hearing {
    pub(crate) paths: Arc<ReturnPaths>,
    pub(crate) replies: Arc<Replies>,
    pub(crate) desk: Arc<dyn Desk>,
}

impl Hearing {
    /// What an address names, if a message to it is taken.
    pub(crate) fn knows(&self, address: &str) -> Option<Named> {
        self.paths.read(address)
    }

    /// What a message says.
    pub(crate) fn read(&self, message: &[u8]) -> Heard {
        report::read(message, &self.replies)
    }

    /// Tells the desk what was heard; stored when this returns.
    pub(crate) async fn tell(&self, of: &Named, heard: Heard) -> Result<(), Again> {
        let told = match timeout(DESK, self.told(of, heard)).await {
            Ok(told) => told?,
            Err(_) => return Err(Again::TooLong),
        };
        let became = match told {
            None => "ignored",
            Some(Noted::Changed) => "changed",
            Some(Noted::Known) => "known",
            Some(Noted::NoSuchAttempt) => "no_such_attempt",
        };
        counter!("posthaste_bounces_total", "says" => heard.word(), "became" => became).increment(1);
        Ok(())
    }

    async fn told(&self, of: &Named, heard: Heard) -> Result<Option<Noted>, NotStored> {
        if matches!(heard, Heard::Nothing(_)) {
            return Ok(None);
        }
        let Some(attempt) = self.attempt(of).await? else { return Ok(Some(Noted::NoSuchAttempt)) };
        match heard {
            Heard::Word { word, reason, ban } => {
                self.desk.receipt(&Receipt { attempt, word, reason, ban }).await.map(Some)
            }
            Heard::Complaint => {
                // A message is complained of once; its server may bring the complaint again.
                let notice = Notice::named(format!("{attempt} complaint"), Said::Heard(Instant::now()));
                leaves(self.desk.as_ref(), &attempt, &notice).await.map(Some)
            }
            Heard::Nothing(_) => Ok(None),
        }
    }

    async fn attempt(&self, of: &Named) -> Result<Option<AttemptId>, NotStored> {
        let (name, parcel, row, attempt) = match of {
            Named::Attempt(attempt) => return Ok(Some(attempt.clone())),
            Named::Short { name, parcel, row, attempt } => (name, *parcel, *row, *attempt),
        };
        let order = self.desk.recall(name).await?.filter(|order| is_named(order, name));
        Ok(order.map(|suffix| AttemptId { suffix, parcel, row, attempt }))
    }
}

/// Takes the recipient of an attempt off the list of its order's sender.
pub(crate) async fn leaves(
    desk: &dyn Desk,
    attempt: &AttemptId,
    notice: &Notice,
) -> Result<Noted, NotStored> {
    let Ok(sender) = attempt.suffix.sender().parse::<SenderId>() else { return Ok(Noted::NoSuchAttempt) };
    desk.suppress_recipient(attempt, &List::Sender(sender), Reason::Unsubscribed, notice).await
}
