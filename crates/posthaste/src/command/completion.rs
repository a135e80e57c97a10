//! `posthaste completion`: completion scripts for shells.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  posthaste completion bash > ~/.local/share/bash-completion/completions/posthaste
  posthaste completion zsh  > ~/.zfunc/_posthaste
  posthaste completion fish > ~/.config/fish/completions/posthaste.fish
";

/// Arguments of `posthaste completion`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "posthaste", &mut text);
    Ok(io::stdout().lock().write_all(&text)?)
}
