//! `posthaste sandbox`: the fake providers as a process.

use std::path::PathBuf;

use posthaste_ops::exit::{Exit, ExitFailure};
use posthaste_sandbox::{Args, Setting};

use crate::failure::{Failure, Result};

/// The sandbox's exit code for invalid settings.
const SETTINGS: u8 = Exit::Usage.code();

/// Runs the sandbox until it is stopped.
///
/// # Errors
/// It cannot start. The sandbox does not know the exit codes of the other processes, so they are translated here.
pub(crate) async fn run(args: Args) -> Result<(), ExitFailure> {
    posthaste_sandbox::run(args).await.map_err(|error| match error.exit_code() {
        SETTINGS => ExitFailure::usage(error),
        _ => ExitFailure::unavailable(error),
    })
}

/// The settings the sandbox would start with.
///
/// # Errors
/// The first invalid setting.
pub(crate) fn settings(config: Option<PathBuf>) -> Result<Vec<Setting>> {
    let args = Args { config, ..Args::default() };
    args.settings(std::env::vars_os())
        .map_err(|error| Failure::usage("the sandbox cannot use its settings").because(error))
}
