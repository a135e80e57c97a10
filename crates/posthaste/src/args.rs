//! What can be typed: the tree of commands and the options they share.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::dev;
use crate::failure::EXIT_CODES;
use crate::output::Format;
use crate::settings::PROFILE;
use crate::terminal::Colour;

const EXAMPLES: &str = "\
Examples:
  posthaste dev                              everything on this computer
  posthaste send --to people.csv --text \"Hello\" --watch
  posthaste order recipients ORDER --failed  who did not get it, and why
  posthaste order retry ORDER --watch        once more, to those only
  posthaste doctor                           what is wrong, in words
";

/// One message to thousands of people, and who got it and how.
#[derive(Debug, Parser)]
#[command(
    name = "posthaste",
    version,
    before_help = EXAMPLES,
    after_long_help = EXIT_CODES,
    after_help = "Exit codes, and more about each option: posthaste --help",
    arg_required_else_help = true,
    infer_long_args = false
)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command that talks to a queue.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Shared {
    /// Where the queue is; without it a running `posthaste dev`, else http://127.0.0.1:8080.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// File with the API key. (A key itself is never an argument: everybody on the computer could read it.)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Settings to use, as in ~/.config/posthaste/NAME.toml.
    #[arg(long, global = true, value_name = "NAME", env = PROFILE)]
    pub(crate) profile: Option<String>,
    /// How long one answer may take, or with --watch the end of the order: 30s, 5m.
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// How to write results.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// The same as -o json.
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// When to write colours; NO_COLOR is obeyed too.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub(crate) color: Colour,
    /// Say only what goes wrong.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Answer every question with yes.
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Ask nothing; a question without an answer is then a failure.
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this computer: a private Redis, the queue, a courier for each channel, and a sandbox
    /// that takes what is sent.
    Dev(dev::Args),
    /// Send a message to people.
    Send(Box<command::send::Args>),
    /// Look at orders, follow, retry, cancel or move them.
    #[command(subcommand)]
    Order(command::order::Command),
    /// List couriers, or run the courier of a channel.
    #[command(subcommand)]
    Courier(command::courier::Command),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(command::key::Command),
    /// List, find, add and lift addresses that get nothing.
    #[command(subcommand)]
    Suppression(command::suppression::Command),
    /// List orders that can't be read, put them back, or end them.
    #[command(subcommand)]
    Parked(command::parked::Command),
    /// Read what the sandbox took.
    #[command(subcommand)]
    Outbox(command::outbox::Command),
    /// Say what is wrong, in words.
    Doctor(command::doctor::Args),
    /// Go on after the database went back or was wiped.
    Recover(command::recover::Args),
    /// Show, check or explain settings.
    #[command(subcommand)]
    Config(command::config::Command),
    /// Run the queue service until it is asked to stop.
    Queue(Box<posthaste_queue::Args>),
    /// Run the sandbox until it is asked to stop.
    Sandbox(Box<posthaste_sandbox::Args>),
    /// Ask a process how it is, for containers.
    Healthcheck(command::healthcheck::Args),
    /// Write completions for a shell.
    Completion(command::completion::Args),
    /// Become another program that does not outlive the one that started it.
    #[command(hide = true)]
    AsChild(dev::AsChildArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
