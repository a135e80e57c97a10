//! The house rules that a program can check. Each rule is a module with one function that returns the violations,
//! and tests that show it can fail.

mod circles;
mod dependencies;
mod docs;
mod fuzz;
mod glossary;
mod lengths;
mod log_events;
mod metrics;
mod names;
mod pages;
mod scripts;
mod security;

mod tree;
mod words;

use anyhow::{Context, Result, ensure};

use crate::shell::{self, say};
use crate::workspace;

/// A violation of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file (with a line, if there is one), or the crate.
    pub(crate) place: String,
    /// What is wrong and how to fix it.
    pub(crate) text: String,
}

impl Finding {
    /// A finding about a whole file or crate.
    pub(crate) fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }

    /// A finding about one line, counting from 1.
    pub(crate) fn line(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), text)
    }
}

/// Checks all rules and prints the violations.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let files = workspace::files(&root)?;
    let metadata = shell::read(
        shell::cargo()
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(&root),
    )?;
    let metadata = serde_json::from_str(&metadata).context("reading cargo metadata")?;
    let tree = ["tree", "--workspace", "--edges", "normal,build", "--target", "all", "--prefix", "none"];
    let tree = shell::read(shell::cargo().args(tree).args(["--format", "{p}"]).current_dir(&root))?;

    let mut findings = dependencies::check(&metadata);
    findings.extend(tree::check(&tree));
    findings.extend(circles::check(&files));
    findings.extend(lengths::check(&files));
    findings.extend(docs::check(&files));
    findings.extend(names::check(&files));
    findings.extend(glossary::check(&files));
    findings.extend(words::check(&files));
    findings.extend(scripts::check(&files));
    findings.extend(fuzz::check(&root, &files));
    findings.extend(security::check(&root, &files));
    findings.extend(log_events::check(&files));
    findings.extend(metrics::check(&files, &workspace::documents(&root)?));
    findings.extend(pages::check(&root));

    findings.sort();
    for finding in &findings {
        say(&format!("{}: {}", finding.place, finding.text));
    }
    ensure!(findings.is_empty(), "{} violations of house rules", findings.len());
    say(&format!("tidy: {} files checked, no violations", files.len()));
    Ok(())
}
