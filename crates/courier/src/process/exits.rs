//! The exit status for each way a courier fails.

use posthaste_ops::exit::ExitFailure;
use posthaste_store::ConnectError;

use crate::run::RunError;

pub(super) fn refused(error: ConnectError) -> ExitFailure {
    match error {
        ConnectError::Settings { .. } => ExitFailure::usage(error),
        ConnectError::Refused(_) | ConnectError::Stop(_) => ExitFailure::refused(error),
        ConnectError::Unreachable(_) | ConnectError::FirstPartition { .. } | ConnectError::Call(_) => {
            ExitFailure::unavailable(error)
        }
    }
}

pub(super) fn ended_by_itself(error: RunError) -> ExitFailure {
    match error {
        RunError::Settings(_) => ExitFailure::usage(error),
        RunError::Engine(_) => ExitFailure::refused(error),
        RunError::Serve(_) => ExitFailure::unavailable(error),
    }
}
