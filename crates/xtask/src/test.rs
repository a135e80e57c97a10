//! Builds the programs that whole-process tests start, runs the tests, and prints the totals.

mod workers;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::counts::{self, Counts};
use crate::shell::{self, say};
use crate::workspace;

use self::workers::Job;

/// The variable the rig reads to choose the server.
const TEST_SERVER: &str = "RIG_SERVER";

/// The test program that only computes, for minutes: the model checker.
const BESIDE: &str = "explorer";

/// The packages whose tests take minutes. They are begun first, so that none of them is the last to run alone.
const LONG: [&str; 4] = ["tests", "crates/store", "crates/queue", "crates/courier"];

/// Without arguments: all tests, on the system's server. With `--on <server> <folder> …`: the tests of the packages in
/// these folders, on that server. With `--named <name> …`: test programs that run only when named, because they need
/// tools a new contributor's machine does not have.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let root = workspace::root()?;
    let mut counts = Counts::default();
    match args {
        [] => {
            build(&root)?;
            all(&root, &mut counts)?;
        }
        ["--named", names @ ..] if !names.is_empty() => {
            let mut command = shell::cargo();
            command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).current_dir(&root);
            for name in names {
                command.args(["--test", name]);
            }
            add(&mut counts, &mut command)?;
        }
        ["--on", server, folders @ ..] if !folders.is_empty() => {
            build(&root)?;
            let folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
            // Run without cargo: selecting packages would select features, and so rebuild everything.
            let chosen = programs(&root)?.into_iter().filter(|program| folders.contains(&program.folder));
            let jobs = chosen.map(|program| {
                let title = format!("     Running {} on {server}", program.path.display());
                let mut command = program.command();
                command.env(TEST_SERVER, server);
                Job { title, command }
            });
            workers::run(jobs.collect(), &mut counts)?;
        }
        _ => bail!(
            "usage: `test`, `test --on <server> <folder of a package> …` or `test --named <test program> …`"
        ),
    }
    counts::record(counts)?;
    say(&counts.to_string());
    ensure!(counts.failed == 0, "{} tests failed", counts.failed);
    ensure!(counts.ignored == 0, "{} tests are ignored: repair or delete them", counts.ignored);
    ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

/// Runs every test program and the examples in the documentation. The one that only computes runs beside the others,
/// which mostly wait for servers, and gets the processor time they leave; its output is shown when they are finished.
fn all(root: &Path, counts: &mut Counts) -> Result<()> {
    let programs = programs(root)?;
    let (beside, others): (Vec<_>, Vec<_>) = programs.iter().partition(|program| program.is(BESIDE));
    let [beside] = beside[..] else {
        bail!("expected one test program named {BESIDE}, found {}", beside.len())
    };
    thread::scope(|scope| {
        let computing = scope.spawn(|| {
            let mut said = Vec::new();
            let outcome = follow(&mut beside.behind_others(), |line| said.push(line.to_owned()));
            (outcome, said)
        });
        let jobs = others.into_iter().map(|program| {
            let title = format!("     Running {}", program.path.display());
            Job { title, command: program.command() }
        });
        workers::run(jobs.collect(), counts)?;
        let mut documented = shell::cargo();
        documented.args(["test", "--doc", "--workspace", "--locked", "--no-fail-fast"]).current_dir(root);
        add(counts, &mut documented)?;
        say(&format!("     Running {}, beside the others", beside.path.display()));
        let (outcome, said) =
            computing.join().map_err(|_| anyhow!("reading the output of {BESIDE} panicked"))?;
        said.iter().for_each(|line| say(line));
        count(counts, outcome?);
        Ok(())
    })
}

/// Builds everything with the features of the tests. Whole-process tests start programs of other packages,
/// which `cargo test` alone does not build.
fn build(root: &Path) -> Result<()> {
    shell::run(shell::cargo().args(["build", "--workspace", "--all-targets", "--locked"]).current_dir(root))
}

/// A test program and the folder of its package.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    folder: PathBuf,
    path: PathBuf,
}

impl Program {
    fn command(&self) -> Command {
        self.started_by(Command::new(&self.path))
    }

    /// The same, using only processor time that others leave.
    fn behind_others(&self) -> Command {
        let mut command = Command::new("nice");
        command.args(["-n", "15"]).arg(&self.path);
        self.started_by(command)
    }

    /// Sets what `cargo test` would set.
    fn started_by(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }

    /// Whether its target has this name.
    fn is(&self, target: &str) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.rsplit_once('-').is_some_and(|(name, _)| name == target)
    }
}

/// All test programs, as built by [`build`]; those of the [`LONG`] packages first.
fn programs(root: &Path) -> Result<Vec<Program>> {
    let args = ["test", "--workspace", "--locked", "--no-run", "--quiet", "--message-format", "json"];
    let mut programs = read_programs(&shell::read(shell::cargo().args(args).current_dir(root))?);
    programs.sort_by_key(|program| {
        LONG.iter().position(|folder| program.folder == root.join(folder)).unwrap_or(LONG.len())
    });
    Ok(programs)
}

fn read_programs(messages: &str) -> Vec<Program> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter(|message| message["profile"]["test"] == true).filter_map(|message| {
        let path = message["executable"].as_str()?;
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        Some(Program { folder: folder.to_owned(), path: path.into() })
    });
    let mut programs: Vec<Program> = programs.collect();
    programs.sort_by(|a, b| a.path.cmp(&b.path));
    programs
}

/// Runs a test command and adds its counts; one that does not finish counts as one more failure.
fn add(counts: &mut Counts, command: &mut Command) -> Result<()> {
    let outcome = follow(command, say)?;
    count(counts, outcome);
    Ok(())
}

fn count(counts: &mut Counts, (found, ended_well): (Counts, bool)) {
    *counts = counts.plus(found);
    if !ended_well && found.failed == 0 {
        say("a test program did not compile or did not finish: counted as one failure");
        counts.failed += 1;
    }
}

/// Shows the output line by line while counting.
fn follow(command: &mut Command, mut show: impl FnMut(&str)) -> Result<(Counts, bool)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting the tests")?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, because a test may print anything.
        while stdout.read_until(b'\n', &mut line).context("reading what the tests print")? > 0 {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            counts.add_line(text);
            show(text);
            line.clear();
        }
    }
    let status = child.wait().context("waiting for the tests")?;
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
        // Not printed here, because the output of this test is being counted the same way.
        let outcome = follow(Command::new("sh").args(["-c", script]), |line| shown.push(line.to_owned()));
        let (counts, ended_well) = outcome.expect("a shell");
        assert_eq!(shown.len(), 3);
        assert_eq!(counts, Counts { passed: 2, failed: 1, ignored: 0 });
        assert!(!ended_well);
    }

    #[test]
    fn test_programs_are_distinguished_from_others() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","profile":{"test":true},"executable":"/t/a-1"}
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","profile":{"test":false},"executable":"/t/a"}
{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","profile":{"test":true},"executable":null}
{"reason":"build-finished","success":true}"#;
        let expected = Program { folder: "/w/a".into(), path: "/t/a-1".into() };
        assert_eq!(read_programs(messages), [expected]);
    }

    #[test]
    fn a_program_is_known_by_its_target() {
        let program = |path: &str| Program { folder: "/w/a".into(), path: path.into() };
        assert!(program("/t/deps/explorer-0a1b").is("explorer"));
        assert!(!program("/t/deps/explorer_scaffold-0a1b").is("explorer"));
    }

    #[test]
    fn unknown_arguments_are_refused() {
        assert!(run(&["--verbose"]).is_err());
        assert!(run(&["--on", "redis8"]).is_err());
    }
}
