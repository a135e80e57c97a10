//! One word for one thing: a public type name stands for one type of the workspace, and words that the glossary of
//! ARCHITECTURE.md has replaced appear in no name.

use std::collections::BTreeMap;

use super::Finding;
use crate::workspace::File;

/// Names that every crate may have one of: they are always used with their module.
const SHARED: &[&str] = &["Args", "Command", "Error", "Result", "Settings"];

/// Replaced words and their replacements. They are searched among the words of names: `desk`, `Desk`, `desk_calls`.
const RETIRED: &[(&str, &str)] = &[
    ("ancestor", "legacy_api"),
    ("barred", "suppressed"),
    ("crew", "supervisor"),
    ("desk", "feedback"),
    ("dialect", "delimiter"),
    ("ear", "event_receiver"),
    ("glance", "order_summary"),
    ("inquire", "claim_unresolved, or lookup"),
    ("kicks", "wakers"),
    ("lane", "priority"),
    ("lookout", "watchdog"),
    ("manners", "session_config"),
    ("mend", "repair, or remedy"),
    ("office", "store_feedback"),
    ("patrol", "scan_orders"),
    ("postbox", "bounce_server"),
    ("rung", "promoted"),
    ("sieve", "recipient_validator"),
    ("standin", "fake_provider"),
    ("standing", "rejection_window, or suppression_status"),
    ("suffix", "order_id"),
    ("unpark", "release_parked"),
    ("witness", "recording_transport"),
    ("yard", "harness"),
];

/// Words that say too little to be a name of their own, or a part of a type's name: `told`, `Asked`, `FlawCode`.
const RIDDLES: &[(&str, &str)] = &[
    ("asked", "requested, or a …Query"),
    ("flaw", "error"),
    ("flaws", "errors"),
    ("heard", "received"),
    ("told", "reported, or what it is"),
    ("verdict", "outcome, or what is decided"),
];

/// Names from libraries, the language and protocols.
const FOREIGN: &[&str] = &["strip_suffix", "is_suffix", "strip_ascii_suffix"];

/// Its tests name retired words.
const THIS_FILE: &str = "tidy/glossary.rs";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = retired_paths(files);
    let mut types: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs") && !file.path.ends_with(THIS_FILE)) {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(name) = public_type(line)
                && is_of_a_library(file)
                && !SHARED.contains(&name)
            {
                types.entry(name).or_default().push(file);
            }
            findings.extend(
                declared(line)
                    .filter(|name| !FOREIGN.contains(name))
                    .flat_map(|name| retired(name).map(move |found| (name, found)))
                    .map(|(name, (word, by))| {
                        Finding::line(
                            &file.path,
                            at + 1,
                            format!("`{name}`: use {by} instead of {word} (glossary)"),
                        )
                    }),
            );
        }
    }
    for (name, places) in types.into_iter().filter(|(_, places)| places.len() > 1) {
        let others: Vec<&str> = places[1..].iter().map(|file| file.path.as_str()).collect();
        let what = format!("`{name}` is also another type in {}: rename one of them", others.join(", "));
        findings.push(Finding::new(&places[0].path, what));
    }
    findings
}

/// Types that tests define are not visible elsewhere.
fn is_of_a_library(file: &File) -> bool {
    file.path.starts_with("crates/") && file.path.contains("/src/") && !file.path.ends_with("tests.rs")
}

fn retired_paths(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        for (word, by) in retired(stem) {
            findings.push(Finding::new(&file.path, format!("use {by} instead of {word} (glossary)")));
        }
    }
    findings
}

/// The name of a type that a line makes public outside its crate.
fn public_type(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest =
        ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|kind| rest.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_ascii_alphanumeric()).next().filter(|name| !name.is_empty())
}

/// The names a line declares: a type, a function, a module; and the metrics in it.
fn declared(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let kinds = ["fn ", "struct ", "enum ", "trait ", "type ", "mod ", "union "];
    let declared = kinds.into_iter().find_map(|kind| {
        let at = code.find(kind)?;
        let before = code[..at].trim_end();
        let begins = before.is_empty()
            || before.ends_with(')')
            || before.ends_with("pub")
            || before.ends_with("async")
            || before.ends_with("const");
        let rest = &code[at + kind.len()..];
        begins.then(|| rest.split(|c: char| !is_name(c)).next().unwrap_or_default())
    });
    let metrics = code.split('"').skip(1).step_by(2).filter(|text| text.starts_with("posthaste_"));
    declared.into_iter().chain(metrics)
}

/// The replaced words among the words of a name, in snake case or camel case.
fn retired(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || c.is_ascii_uppercase() {
            words.push(String::new());
        }
        if let Some(last) = words.last_mut()
            && c.is_ascii_alphanumeric()
        {
            last.push(c.to_ascii_lowercase());
        }
    }
    let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
    let is_riddle = move |word: &str| name == word || is_type;
    let riddles = RIDDLES.iter().copied().filter(move |(word, _)| is_riddle(word));
    RETIRED.iter().copied().chain(riddles).filter(move |(word, _)| words.iter().any(|part| part == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect();
        check(&files).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn a_name_of_two_public_types_is_found() {
        let a = ("crates/a/src/lib.rs", "pub struct Report;\n");
        assert_eq!(found(&[a, ("crates/b/src/lib.rs", "    pub enum Report {\n")]).len(), 1);
        assert_eq!(found(&[a, ("crates/b/src/lib.rs", "pub(crate) struct Report;\n")]), [""; 0]);
        assert_eq!(found(&[a, ("crates/b/tests/it/a.rs", "pub struct Report;\n")]), [""; 0]);
        let settings = [
            ("crates/a/src/a.rs", "pub struct Settings;\n"),
            ("crates/b/src/b.rs", "pub struct Settings;\n"),
        ];
        assert_eq!(found(&settings), [""; 0]);
    }

    #[test]
    fn a_riddle_is_found_alone_and_in_types() {
        for text in ["fn told() {}", "mod flaws;", "struct Asked;", "pub enum FlawCode {", "type Heard = u8;"]
        {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]).len(), 1, "{text}");
        }
        assert_eq!(found(&[("crates/a/src/heard.rs", "")]).len(), 1);
        for text in ["fn a_wrong_key_is_told() {}", "fn asked_again() {}", "let told = 1;"] {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_retired_word_is_found_in_every_kind_of_name() {
        for text in [
            "struct OrderDesk;",
            "    pub(crate) async fn by_lane(x: u8) {}",
            "mod yard;",
            "counter!(\"posthaste_lane_total\")",
            "pub trait Desk {}",
        ] {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]).len(), 1, "{text}");
        }
        assert_eq!(found(&[("crates/a/src/desk.rs", "")]).len(), 1);
        assert_eq!(found(&[("lua/patrol.lua", "")]).len(), 1);
        for text in
            ["// the desk of old", "let lane = 1;", "fn planes() {}", "fn strip_suffix() {}", "say(\"desk\")"]
        {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]), [""; 0], "{text}");
        }
    }
}
