//! SECURITY.md names the test that verifies each promise; that test must exist.
//!
//! A test is named `<package>::<name of the function>`, in a cell or sentence between backticks: `queue::paths_methods_and_parameters`.
//! The package is the folder in `crates/`, or `tests`.

use std::path::Path;

use super::Finding;
use crate::workspace::File;

const PAGE: &str = "SECURITY.md";
/// With fewer named tests than this, the page was cut down, or its form is no longer recognized.
const FEWEST: usize = 50;

pub(super) fn check(root: &Path, files: &[File]) -> Vec<Finding> {
    match std::fs::read_to_string(root.join(PAGE)) {
        Ok(page) => found(&page, files, FEWEST),
        Err(error) => vec![Finding::new(PAGE, error.to_string())],
    }
}

fn found(page: &str, files: &[File], fewest: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut count = 0;
    for (at, line) in page.lines().enumerate() {
        for (package, test) in line.split('`').skip(1).step_by(2).filter_map(named) {
            count += 1;
            if !is_there(files, package, test) {
                let what = format!("there is no test {test} in {package}");
                findings.push(Finding::line(PAGE, at + 1, what));
            }
        }
        let is_row = line.starts_with("| ") && !line.starts_with("| ---");
        if is_row && line.trim_end().ends_with("| |") {
            findings.push(Finding::line(
                PAGE,
                at + 1,
                "a table row without a test: name one, or say why there is none",
            ));
        }
    }
    if count < fewest {
        findings.push(Finding::new(PAGE, format!("names {count} tests, expected at least {fewest}")));
    }
    findings
}

fn named(text: &str) -> Option<(&str, &str)> {
    let (package, test) = text.split_once("::")?;
    let is_package = package.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_name = test.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (is_package && is_name && !test.is_empty()).then_some((package, test))
}

/// Whether there is a function of this name right after a test attribute, or inside `proptest!`.
fn is_there(files: &[File], package: &str, test: &str) -> bool {
    let folder = if package == "tests" { "tests/".to_owned() } else { format!("crates/{package}/") };
    files.iter().filter(|file| file.path.starts_with(&folder)).any(|file| is_in(&file.text, test))
}

fn is_in(text: &str, test: &str) -> bool {
    let mut is_marked = false;
    for line in text.lines().map(str::trim) {
        // A test that is also run on mutants is visible outside its module.
        let name = line.trim_start_matches("pub(crate) ").trim_start_matches("async ").strip_prefix("fn ");
        if is_marked
            && name.and_then(|name| name.strip_prefix(test)).is_some_and(|rest| rest.starts_with('('))
        {
            return true;
        }
        is_marked = match line {
            _ if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => true,
            // Other attributes and comments may come between.
            _ if line.starts_with("#[") || line.starts_with("//") => is_marked,
            _ => false,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        let text = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"multi_thread\")]\n// Why.\nasync fn two(x: i32) {}\n#[test]\npub(crate) fn seen() {}\nfn helper() {}\n";
        vec![File { path: "crates/queue/tests/it/a.rs".into(), text: text.into() }]
    }

    #[test]
    fn tests_that_are_there_are_found() {
        assert_eq!(
            found("| a | `queue::one`, `queue::two` |\nSee `std::fmt` and `A::b`.\n", &files(), 2).len(),
            1
        );
        assert_eq!(found("| a | `queue::one`, `queue::two`, `queue::seen` |\n", &files(), 3), []);
    }

    #[test]
    fn missing_tests_and_tests_of_other_packages_are_reported() {
        for page in ["`queue::helper`", "`queue::on`", "`queue::three`", "`store::one`", "`tests::one`"] {
            assert_eq!(found(page, &files(), 1).len(), 1, "{page}");
        }
        assert_eq!(found("nothing", &files(), 1).len(), 1, "nothing is named");
        assert_eq!(found("| a | b | |", &files(), 0).len(), 1, "a row without a test");
    }
}
