//! What failed calls of the store are told as.

use posthaste_store::{CallError, Later};

use super::{Code, FULL_RETRY, Problem, STORE_RETRY};

impl Problem {
    /// What a failed write of the store means that is harmless when repeated: nothing happened, or nobody knows.
    #[must_use]
    pub fn of_write(error: &CallError) -> Self {
        match error {
            CallError::Stop(_) => error.into(),
            error if error.may_have_happened() => Self::outcome_unknown(),
            error => error.into(),
        }
    }

    /// The database refused the whole request: nothing was changed. The member `reason` is the stable word of why.
    fn refused_for_now(why: Later) -> Self {
        let (code, wait) = match why {
            Later::Memory | Later::NearlyFull => (Code::StoreFull, FULL_RETRY),
            // Somebody has to do something first.
            Later::Disk | Later::NoReplicas | Later::MasterDown => (Code::StoreUnavailable, FULL_RETRY),
            _ => (Code::StoreUnavailable, STORE_RETRY),
        };
        let then = match why {
            Later::Memory | Later::NearlyFull => "new orders are taken again once it has more memory",
            Later::Disk => "requests are taken again once its disk can be written",
            Later::NoReplicas | Later::MasterDown => "requests are taken again once its replication works",
            _ => "this usually passes by itself",
        };
        let detail = format!("the database (Redis) {}; nothing was changed. Retry later: {then}", why.is());
        Self::new(code, detail).with("reason", why.word()).retry_after(wait)
    }
}

/// What a failed call of the store means to a reader: nothing was lost, ask again.
impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::from(&error)
    }
}

impl From<&CallError> for Problem {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Away(_) => {
                let detail = "the database (Redis) does not answer; it is safe to repeat the request";
                Self::new(Code::StoreUnavailable, detail).with("reason", "away").retry_after(STORE_RETRY)
            }
            CallError::Later { why } => Self::refused_for_now(*why),
            CallError::Stop(why) => {
                tracing::error!(%why, "the store must not be used");
                let detail = "the store is not the one it was; an operator must look";
                Self::new(Code::StoreUnavailable, detail).retry_after(FULL_RETRY)
            }
            CallError::Undurable => Self::outcome_unknown(),
            CallError::Fault(fault) => {
                tracing::error!(%fault, "a reply of the store could not be used");
                Self::new(Code::Internal, "a reply of the store could not be used")
            }
        }
    }
}
