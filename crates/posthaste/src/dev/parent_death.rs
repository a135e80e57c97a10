//! Runs a program that ends when its parent ends, even if the parent is killed.
//!
//! The kernel setting "kill me when my parent dies" survives an exec. So a child process first sets it and then execs the
//! program. It refers to the *thread* that started the child, which is the main thread.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::failure::{Failure, Result};

/// Arguments of the hidden command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The process that started this one.
    parent: u32,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    program: Vec<OsString>,
}

/// Execs the program.
///
/// # Errors
/// The parent has already ended, or the program cannot be started.
pub(crate) fn run(args: &Args) -> Result<()> {
    die_with(args.parent)?;
    let Some((program, rest)) = args.program.split_first() else {
        return Err(Failure::usage("no program given"));
    };
    let error = Command::new(program).args(rest).exec();
    Err(Failure::error(format!("cannot start {}", program.display())).because(error))
}

#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    // The parent may have died before the setting was made.
    let now = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if now == Some(parent) { Ok(()) } else { Err(Failure::error("the parent process has ended")) }
}

/// Other systems have no such setting. A parent that is stopped normally still stops its children.
#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> Result<()> {
    Ok(())
}
