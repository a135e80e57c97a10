//! `posthaste sandbox`: the stand-in providers as a process.

use std::path::PathBuf;

use posthaste_ops::exit::{Exit, Failure};
use posthaste_sandbox::Args;

use crate::command::config::Row;

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

/// The settings the sandbox would start with.
///
/// # Errors
/// The first thing found wrong.
pub(crate) fn settings(config: Option<PathBuf>) -> crate::failure::Result<Vec<Row>> {
    let args = Args { config, ..Args::default() };
    let settings = args.settings(std::env::vars_os());
    let settings = settings.map_err(|error| {
        crate::failure::Failure::usage("the sandbox cannot use its settings").because(error)
    })?;
    let row = |setting: posthaste_sandbox::Setting| Row {
        key: setting.key,
        value: setting.value,
        origin: setting.origin,
    };
    Ok(settings.into_iter().map(row).collect())
}
