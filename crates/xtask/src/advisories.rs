//! Known vulnerabilities in our dependencies: from the advisory database if it can be reached, else from a dated
//! snapshot, else reported as not checked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::shell::{self, say};
use crate::workspace;

/// A folder with a git clone of the advisory database, for machines that cannot reach it.
const SNAPSHOT: &str = "POSTHASTE_ADVISORIES";

/// Where cargo-deny fetches the database from.
const DATABASE: &str = "https://github.com/RustSec/advisory-db";

pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let deny = |words: &[&str]| {
        let mut command = shell::cargo();
        command.arg("deny").args(words).current_dir(&root).stdin(Stdio::null());
        command
    };
    let quietly = |mut command: Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    ensure!(quietly(deny(&["--version"])), "cargo-deny is missing: make setup-ci");

    let check = ["--workspace", "check", "--hide-inclusion-graph", "advisories"];
    if quietly(deny(&["fetch", "db"])) {
        say("advisories: today's database");
        return shell::run(&mut deny(&check));
    }
    if let Some(clone) = std::env::var_os(SNAPSHOT).map(PathBuf::from) {
        ensure!(
            clone.join("crates").is_dir(),
            "{SNAPSHOT}={} is not a clone of the database",
            clone.display()
        );
        say(&format!("advisories: database not reachable, using the snapshot {}", age(&clone)?));
        // cargo-deny clones with git and accepts no local address, but git itself can redirect the address.
        let address = format!("url.file://{}.insteadOf", clone.display());
        let mut command = deny(&check);
        command.envs([
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", &address),
            ("GIT_CONFIG_VALUE_0", DATABASE),
        ]);
        return shell::run(&mut command);
    }
    if let Some(copy) = earlier_copy(&cargo_home()) {
        say(&format!("advisories: database not reachable, using an earlier copy {}", age(&copy)?));
        let offline = [&["--offline"][..], &check].concat();
        return shell::run(&mut deny(&offline));
    }
    say("advisories: not checked: the database cannot be reached and there is no snapshot");
    say(&format!("  (clone {DATABASE} and set {SNAPSHOT} to its folder)"));
    Ok(())
}

/// The date of the newest entry and its age.
fn age(clone: &Path) -> Result<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(clone).args(["log", "-1", "--date=short", "--format=of %cd, %cr"]);
    shell::read(&mut git).map(|text| text.trim().to_owned()).context("reading the age of the snapshot")
}

fn cargo_home() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_default()
}

/// The database from an earlier fetch by cargo-deny, if there is one.
fn earlier_copy(cargo_home: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(cargo_home.join("advisory-dbs")).ok()?;
    folders.flatten().map(|folder| folder.path()).find(|folder| folder.join("crates").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_earlier_copy_counts() {
        let home = tempfile::tempdir().expect("a folder");
        assert_eq!(earlier_copy(home.path()), None);
        let copy = home.path().join("advisory-dbs/advisory-db-1234");
        std::fs::create_dir_all(&copy).expect("a folder");
        assert_eq!(earlier_copy(home.path()), None);
        std::fs::create_dir_all(copy.join("crates")).expect("a folder");
        assert_eq!(earlier_copy(home.path()), Some(copy));
    }

    #[test]
    fn the_age_is_that_of_the_newest_entry() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = |words: &[&str]| {
            let mut command = Command::new("git");
            command
                .arg("-C")
                .arg(folder.path())
                .args(["-c", "user.name=a", "-c", "user.email=a@b.c"])
                .args(words);
            command.env("GIT_COMMITTER_DATE", "2020-02-03T04:05:06Z");
            shell::read(&mut command).expect("git works")
        };
        git(&["init", "-q"]);
        git(&["commit", "-q", "--allow-empty", "-m", "entry"]);
        let age = age(folder.path()).expect("an age");
        assert!(age.starts_with("of 2020-02-03, ") && age.ends_with(" ago"), "{age}");
    }
}
