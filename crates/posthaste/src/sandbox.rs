//! `posthaste sandbox`: the stand-in providers as a process.

use posthaste_ops::exit::{Exit, Failure};
use posthaste_sandbox::Args;

/// The number that says "mend the settings", as the sandbox tells it.
const SETTINGS: u8 = Exit::Usage.code();

/// Runs the sandbox until it is asked to stop.
///
/// # Errors
/// It cannot start. The sandbox knows nothing of the other processes' exit codes, so they are translated here.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    posthaste_sandbox::run(args).await.map_err(|error| match error.exit_code() {
        SETTINGS => Failure::usage(error),
        _ => Failure::unavailable(error),
    })
}
