//! The command line: the tree of commands.

use clap::{Parser, Subcommand};

use crate::command;
use crate::dev;
use crate::failure::EXIT_CODES;
use crate::global_options::GlobalOptions;

const EXAMPLES: &str = "\
Examples:
  posthaste dev                              run everything on this computer
  posthaste send --to people.csv --text \"Hello\" --watch
  posthaste order deliveries ORDER --failed  who did not get it, and why
  posthaste order retry ORDER --watch        send again, to those only
  posthaste doctor                           find problems and how to fix them
";

/// Send one message to thousands of people, and see who got it and how.
#[derive(Debug, Parser)]
#[command(
    name = "posthaste",
    version,
    before_help = EXAMPLES,
    after_long_help = EXIT_CODES,
    after_help = "For exit codes and details of each option: posthaste --help",
    arg_required_else_help = true,
    infer_long_args = false
)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this computer: a private Redis, the queue, a courier for each channel, and a sandbox
    /// that receives the messages.
    Dev(dev::Args),
    /// Send a message to recipients.
    Send(Box<command::send::Args>),
    /// List, show, watch, export, retry, cancel or reschedule orders.
    #[command(subcommand)]
    Order(command::order::Command),
    /// List couriers, or run the courier of a channel.
    #[command(subcommand)]
    Courier(command::courier::Command),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Key(command::key::Command),
    /// List, find, add and delete suppressions: addresses that get no messages.
    #[command(subcommand)]
    Suppression(command::suppression::Command),
    /// List parked orders, which can't be read, and release or end them.
    #[command(subcommand)]
    Parked(command::parked::Command),
    /// Show the messages that the sandbox received.
    #[command(subcommand)]
    Outbox(command::outbox::Command),
    /// Find problems and explain how to fix them.
    Doctor(command::doctor::Args),
    /// Resume work after the database went back or was wiped.
    Recover(command::recover::Args),
    /// Show or check settings, or print an example file.
    #[command(subcommand)]
    Config(command::config::Command),
    /// Run the queue service until it is stopped.
    Queue(Box<posthaste_queue::Args>),
    /// Run the sandbox until it is stopped.
    Sandbox(Box<posthaste_sandbox::Args>),
    /// Check the health of a process, for containers.
    Healthcheck(command::healthcheck::Args),
    /// Print a completion script for a shell.
    Completion(command::completion::Args),
    /// Run another program that is killed when the process that started it ends.
    #[command(hide = true)]
    AsChild(dev::AsChildArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_valid() {
        Cli::command().debug_assert();
    }
}
