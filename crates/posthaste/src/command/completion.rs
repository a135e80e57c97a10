//! `posthaste completion`: completion scripts for shells.

use std::io::{self, Write};

use clap_complete::Shell;

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

/// Prints the script for this tree of commands.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn run(args: &Args, mut commands: clap::Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut commands, "posthaste", &mut text);
    Ok(io::stdout().lock().write_all(&text)?)
}
