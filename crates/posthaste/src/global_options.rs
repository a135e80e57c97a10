//! The options that every command has.

use std::path::PathBuf;

use clap::Args;

use crate::output::Format;
use crate::settings::PROFILE;
use crate::terminal::Colour;

/// Options of every command that talks to a queue.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Address of the queue; default: a running `posthaste dev`, else http://127.0.0.1:8080.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// File with the API key. (The key itself is never an argument: other users of this computer could read it.)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Profile to use: the settings in ~/.config/posthaste/NAME.toml.
    #[arg(long, global = true, value_name = "NAME", env = PROFILE)]
    pub(crate) profile: Option<String>,
    /// How long to wait for one response, or with --watch for the order to finish: 30s, 5m.
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Output format.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Same as -o json.
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// When to use colours; NO_COLOR is respected.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub(crate) color: Colour,
    /// Print only results, warnings and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Answer yes to every question.
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Never ask; a command that needs confirmation fails unless --yes is given.
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
}
