//! Problems for failed calls to the store.

use posthaste_store::{CallError, InvalidReply, UnreadableRecord};

use super::{Code, Problem, STORE_RETRY};

impl Problem {
    /// The problem for a failed write that is safe to repeat: either nothing happened, or the outcome is unknown.
    #[must_use]
    pub fn of_write(error: &CallError) -> Self {
        match error {
            CallError::Fatal(_) => error.into(),
            error if error.may_have_happened() => Self::outcome_unknown(),
            error => error.into(),
        }
    }
}

/// The problem for a failed read: nothing was lost, and the client may retry.
impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::from(&error)
    }
}

impl From<&CallError> for Problem {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::NoReply(_) => {
                let detail = "the database (Redis) does not answer; it is safe to repeat the request";
                Self::new(Code::StorageUnavailable, detail).with("reason", "away").retry_after(STORE_RETRY)
            }
            CallError::Retryable { why } => Self::refused_for_now(*why),
            CallError::Fatal(why) => {
                // No retry time can be given: an operator decides.
                Self::new(Code::StorageUnavailable, why.to_string())
            }
            CallError::NotDurable => Self::outcome_unknown(),
            CallError::InvalidReply(InvalidReply::Record(_)) => {
                Self::unreadable(error.unreadable().unwrap_or(UnreadableRecord::Damaged))
            }
            CallError::InvalidReply(fault) => {
                tracing::error!(
                    event = "database.invalid_reply",
                    error = %fault,
                    "invalid reply from the database"
                );
                Self::new(Code::InternalError, "the store sent an invalid reply; report this to the operator")
            }
        }
    }
}
