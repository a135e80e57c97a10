//! `posthaste`, the binary that users start with: everything on one computer (`dev`), the command line of a queue, and the
//! processes themselves.

mod args;
mod channels;
mod client;
mod command;
mod context;
mod dev;
mod failure;
mod global_options;
mod moment;
mod output;
mod settings;
mod store;
mod terminal;
mod upload;

use std::pin::pin;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use posthaste_ops::exit;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context::new(&cli.global);
    match cli.command {
        Command::Queue(args) => process("posthaste queue", || posthaste_queue::run(*args)),
        Command::Courier(command::courier::Command::Run(program, args)) => {
            let name = format!("posthaste courier {}", program.channel.name);
            process(&name, || (program.run)(&args))
        }
        Command::Sandbox(args) => process("posthaste sandbox", || posthaste_sandbox::run(*args)),
        Command::AsChild(args) => end(dev::as_child(&args)),
        command => end(command_line(command, &context)),
    }
}

/// Runs a long-lived process with the log, signals and exit codes that all of them share.
fn process<F>(name: &str, run: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<(), exit::ExitFailure>>,
{
    exit::run(name, || async { run().await.map(|()| exit::Exit::Done) })
}

fn end(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::tell(&failure);
            ExitCode::from(&failure)
        }
    }
}

fn command_line(command: Command, context: &Context) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = match command {
        // It handles Ctrl-C itself: it has child processes to stop.
        Command::Dev(args) => runtime.block_on(dev::run(args, context)),
        command => runtime.block_on(interruptible(run(command, context))),
    };
    // A thread may still be waiting for a line of standard input that never comes.
    runtime.shutdown_background();
    ended
}

async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Send(args) => command::send::run(*args, context).await,
        Command::Order(command) => command::order::run(command, context).await,
        Command::Courier(_) => command::courier::list(context).await,
        Command::Key(command) => command::key::run(command, context).await,
        Command::Suppression(command) => command::suppression::run(command, context).await,
        Command::Parked(command) => command::parked::run(command, context).await,
        Command::Outbox(command) => command::outbox::run(command, context).await,
        Command::Doctor(args) => command::doctor::run(args, context).await,
        Command::Recover(args) => command::recover::run(args, context).await,
        Command::Config(command) => command::config::run(command, context),
        Command::Healthcheck(args) => command::healthcheck::run(&args).await,
        Command::Completion(args) => command::completion::run(&args, Cli::command()),
        // `main` runs these itself, before this runtime exists, except `dev`, which `command_line` runs.
        Command::Dev(_) | Command::Queue(_) | Command::Sandbox(_) | Command::AsChild(_) => Ok(()),
    }
}

/// Runs a command until Ctrl-C.
async fn interruptible(command: impl Future<Output = Result<()>>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut command = pin!(command);
    tokio::select! {
        biased;
        ended = &mut command => return ended,
        _ = interrupt.recv() => {}
    }
    // A command with its own handler has received the signal too, and its own error says more.
    tokio::select! {
        biased;
        ended = &mut command => ended,
        () = std::future::ready(()) => Err(Failure::new(Kind::Interrupted, "interrupted")),
    }
}
