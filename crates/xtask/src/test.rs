//! Builds what whole-process tests start, runs the tests, and closes with their sum.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::counts::{self, Counts};
use crate::shell::{self, say};
use crate::workspace;

/// What the rig reads to choose the server.
const TEST_SERVER: &str = "POSTHASTE_TEST_SERVER";

/// Takes `[--on <server>] [-- <arguments of cargo test>]`.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (server, rest) = match args {
        ["--on", server, rest @ ..] => (Some(*server), rest),
        _ => (None, args),
    };
    let selection = match rest {
        [] => &[][..],
        ["--", selection @ ..] => selection,
        [unknown, ..] => bail!("unknown argument {unknown}"),
    };
    let root = workspace::root()?;
    // Whole-process tests start programs of other packages, which cargo does not build for them.
    shell::run(shell::cargo().args(["build", "--workspace", "--bins", "--locked"]).current_dir(&root))?;

    let mut command = shell::cargo();
    command.args(["test", "--locked", "--no-fail-fast"]).current_dir(&root);
    if selection.is_empty() {
        command.arg("--workspace");
    }
    command.args(selection);
    if let Some(server) = server {
        command.env(TEST_SERVER, server);
    }
    let (mut counts, ended_well) = follow(&mut command, say)?;
    if !ended_well && counts.failed == 0 {
        say("a test program did not compile or did not come to its end: counted as one failure");
        counts.failed += 1;
    }
    counts::record(counts)?;
    say(&counts.to_string());
    ensure!(counts.failed == 0, "{} tests failed", counts.failed);
    ensure!(counts.ignored == 0, "{} tests are switched off: repair or delete them", counts.ignored);
    ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

/// Shows the output line by line while counting.
fn follow(command: &mut Command, mut show: impl FnMut(&str)) -> Result<(Counts, bool)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting cargo test")?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, because a test may print anything.
        while stdout.read_until(b'\n', &mut line).context("reading what cargo test prints")? > 0 {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            counts.add_line(text);
            show(text);
            line.clear();
        }
    }
    let status = child.wait().context("waiting for cargo test")?;
    Ok((counts, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_counted_whatever_else_it_holds() {
        let script = r"printf 'test result: ok. 2 passed; 0 failed; 0 ignored; x\n\377\n'
            printf 'test result: FAILED. 0 passed; 1 failed; 0 ignored; x'; exit 101";
        let mut shown = Vec::new();
        // Not shown on the output of this test: the run it belongs to is being counted the same way.
        let outcome = follow(Command::new("sh").args(["-c", script]), |line| shown.push(line.to_owned()));
        let (counts, ended_well) = outcome.expect("a shell");
        assert_eq!(shown.len(), 3);
        assert_eq!(counts, Counts { passed: 2, failed: 1, ignored: 0 });
        assert!(!ended_well);
    }

    #[test]
    fn unknown_arguments_are_refused() {
        assert!(run(&["--verbose"]).is_err());
        assert!(run(&["--on", "redis8", "store"]).is_err());
    }
}
