//! Printing, and running other programs.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Prints one line. A closed output is not an error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs a command and shows its output; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = name(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("starting {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

/// Runs a command and returns its output; an error with its standard error unless it succeeds.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let name = name(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} ended with {}:\n{complaints}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("reading what {name} printed"))
}

/// The cargo that runs this program, if there is one.
///
/// Without the variables by which it describes this package to this program: build scripts that look at their own
/// package's (ring's does) would run again, and all that depends on them be built again, each time cargo is run once from
/// here and once by hand.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_a_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether cargo sets a variable of this name for the one package it runs.
fn describes_a_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start))
        || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name)
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).take(6).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cargo_started_from_here_knows_nothing_of_this_package() {
        let command = cargo();
        let removed = |name: &str| command.get_envs().any(|(key, value)| key == name && value.is_none());
        // Set by the cargo or the `cargo xtask test` that runs this.
        assert!(removed("CARGO_MANIFEST_DIR"));
        for kept in
            ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "CARGO_BUILD_JOBS", "RUSTFLAGS"]
        {
            assert!(!describes_a_package(kept), "{kept}");
        }
        for own in ["CARGO_PKG_NAME", "CARGO_MANIFEST_LINKS", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE"] {
            assert!(describes_a_package(own), "{own}");
        }
    }
}
