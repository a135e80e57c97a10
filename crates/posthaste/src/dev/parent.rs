//! A program that does not outlive the one that started it, not even when that one is killed.
//!
//! The kernel's wish "kill me when my parent dies" is kept over an exec, so a child of ours makes it first and then
//! becomes the program it is to be. It speaks of the *thread* that started the child: that is the main thread.

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

/// Becomes the program.
///
/// # Errors
/// The parent is gone already, or the program cannot be started.
pub(crate) fn run(args: &Args) -> Result<()> {
    die_with(args.parent)?;
    let Some((program, rest)) = args.program.split_first() else {
        return Err(Failure::usage("no program"));
    };
    let error = Command::new(program).args(rest).exec();
    Err(Failure::error(format!("cannot start {}", program.display())).because(error))
}

#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    // It may have died before the wish was made.
    let now = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if now == Some(parent) { Ok(()) } else { Err(Failure::error("whoever started this has ended")) }
}

/// Elsewhere there is no such wish; a parent that is stopped still stops its children.
#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> Result<()> {
    Ok(())
}
