//! What failed calls of the store are told as.

use posthaste_store::{CallError, Fault, Unreadable};

use super::{Code, Problem, STORE_RETRY};

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
                // Nobody can say when it goes on: an operator decides.
                Self::new(Code::StoreUnavailable, why.to_string())
            }
            CallError::Undurable => Self::outcome_unknown(),
            CallError::Fault(Fault::Record(_)) => {
                Self::unreadable(error.unreadable().unwrap_or(Unreadable::Damaged))
            }
            CallError::Fault(fault) => {
                tracing::error!(%fault, "a reply of the store could not be used");
                Self::new(Code::Internal, "a reply of the store could not be used")
            }
        }
    }
}
