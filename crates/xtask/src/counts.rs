//! Counts passed and failed tests, summed over test binaries and runs.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::shell::say;
use crate::workspace;

/// Tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests marked `ignore`; there should be none.
    pub(crate) ignored: u64,
}

impl Counts {
    /// Adds the summary line of a test binary; ignores other lines.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let Some((_, numbers)) = rest.split_once(". ") else { return };
        for field in numbers.split(';') {
            if let Some((number, word)) = field.trim().split_once(' ') {
                let number = number.parse().unwrap_or(0);
                match word {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.ignored += number,
                    _ => {}
                }
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
        let mut next = || words.next().unwrap_or(0);
        Self { passed: next(), failed: next(), ignored: next() }
    }

    /// The sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

fn record_file() -> Result<PathBuf> {
    Ok(workspace::target()?.join("test-counts"))
}

fn recorded() -> Result<Counts> {
    let text = std::fs::read_to_string(record_file()?).unwrap_or_default();
    Ok(Counts::parse(&text))
}

/// Adds the counts of a run to the record.
pub(crate) fn record(counts: Counts) -> Result<()> {
    let sum = recorded()?.plus(counts);
    let file = record_file()?;
    let text = format!("{} {} {}\n", sum.passed, sum.failed, sum.ignored);
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
}

/// Empties the record.
pub(crate) fn reset() -> Result<()> {
    match std::fs::remove_file(record_file()?) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("emptying the record")
        }
        _ => Ok(()),
    }
}

/// Prints the sum of all recorded runs.
pub(crate) fn run() -> Result<()> {
    let sum = recorded()?;
    say(&sum.to_string());
    ensure!(sum.failed == 0, "{} tests failed", sum.failed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_closing_lines() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test result: ok. 17 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test one ... ok",
            "test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.0s",
            "test result: none",
        ] {
            counts.add_line(line);
        }
        assert_eq!(counts, Counts { passed: 19, failed: 1, ignored: 4 });
        assert_eq!(counts.to_string(), "19 passed, 1 failed");
    }

    #[test]
    fn a_record_adds_up() {
        let sum = Counts::parse("3 1 0\n").plus(Counts { passed: 2, failed: 0, ignored: 1 });
        assert_eq!(sum, Counts { passed: 5, failed: 1, ignored: 1 });
        assert_eq!(Counts::parse(""), Counts::default());
    }
}
