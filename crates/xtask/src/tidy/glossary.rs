//! One word for one thing: a public type name stands for one type of the workspace, and words that the glossary of
//! ARCHITECTURE.md has replaced appear in no name: of a file, a type, a function, a test, a module, a field, a parameter or
//! a local variable, in Rust and Lua, or of a metric.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use super::Finding;
use crate::lua::code;
use crate::workspace::File;

/// Names that every crate may have one of: they are always used with their module.
const SHARED: &[&str] = &["Args", "Command", "Error", "Result", "Settings"];

/// Replaced words and their replacements. They are searched among the words of names, also in the plural:
/// `desk`, `Desk`, `desk_calls`, `desks`.
const RETIRED: &[(&str, &str)] = &[
    ("ability", "capability"),
    ("abilities", "capabilities"),
    ("ancestor", "legacy_api"),
    ("barred", "suppressed"),
    ("crew", "supervisor"),
    ("desk", "feedback"),
    ("dialect", "delimiter"),
    ("ear", "event_receiver"),
    ("flaw", "error, or fault"),
    ("glance", "order_summary"),
    ("heard", "received"),
    ("inquire", "claim_unresolved, or lookup"),
    ("kick", "waker"),
    ("lane", "priority, or worker"),
    ("lift", "delete"),
    ("lifted", "deleted"),
    ("lookout", "watchdog"),
    ("manner", "session_config, or misbehaviour"),
    ("mend", "repair, or remedy"),
    ("office", "store_feedback"),
    ("patrol", "scan_orders"),
    ("postbox", "bounce_server"),
    ("rung", "promoted"),
    ("sieve", "validator"),
    ("standin", "fake_provider"),
    ("standing", "rejections, or status"),
    ("suffix", "order_id, or ending"),
    ("told", "reported, or what it is"),
    ("unpark", "release_parked"),
    ("verdict", "outcome, classification, or what is decided"),
    ("witness", "recording_transport"),
    ("yard", "harness"),
];

/// Words that say too little to be a name of their own, or a part of a type's name: `asked`, `ClaimAsked`. In a longer
/// name they are English: `it_works_until_it_is_asked_to_stop`.
const RIDDLES: &[(&str, &str)] = &[("asked", "requested, or a …Query")];

/// Names from libraries, the language and protocols.
const FOREIGN: &[&str] = &["ancestors", "is_suffix", "strip_suffix"];

/// Its tests name retired words.
const THIS_FILE: &str = "tidy/glossary.rs";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = retired_paths(files);
    let mut types: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs") && !file.path.ends_with(THIS_FILE)) {
        for line in file.text.lines() {
            if let Some(name) = public_type(line)
                && is_of_a_library(file)
                && !SHARED.contains(&name)
            {
                types.entry(name).or_default().push(file);
            }
        }
    }
    for file in files.iter().filter(|file| !file.path.ends_with(THIS_FILE)) {
        for (name, line) in names(file) {
            findings.extend(retired(&name).filter(|_| !FOREIGN.contains(&name.as_str())).map(
                |(word, by)| {
                    Finding::line(
                        &file.path,
                        line,
                        format!("`{name}`: use {by} instead of {word} (glossary)"),
                    )
                },
            ));
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

/// Every name in the code of a file, and the line of its first use: identifiers of all kinds, and metrics in strings.
fn names(file: &File) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    if file.is("lua") {
        for (at, line) in code(&file.text).lines().enumerate() {
            for name in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                found.entry(name.to_owned()).or_insert(at + 1);
            }
        }
    } else if file.is("rs")
        && let Ok(tokens) = file.text.parse::<TokenStream>()
    {
        // Another rule reports what is not valid Rust.
        identifiers(tokens, &mut found);
    }
    found
}

fn identifiers(tokens: TokenStream, found: &mut BTreeMap<String, usize>) {
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Ident(name) => {
                found.entry(name.to_string()).or_insert(line);
            }
            TokenTree::Literal(text) => {
                let text = text.to_string();
                let metric = text.trim_matches('"');
                if metric.starts_with("posthaste_") {
                    found.entry(metric.to_owned()).or_insert(line);
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// The replaced words among the words of a name, in snake case or camel case.
fn retired(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        // `BellRung` has two words, `BELL_RUNG` too.
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && !before.is_ascii_uppercase()) {
            words.push(String::new());
        }
        if let Some(last) = words.last_mut()
            && c.is_ascii_alphanumeric()
        {
            last.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    let is_type =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.contains(|c: char| c.is_ascii_lowercase());
    let is_riddle = move |word: &str| name == word || is_type;
    let riddles = RIDDLES.iter().copied().filter(move |(word, _)| is_riddle(word));
    RETIRED.iter().copied().chain(riddles).filter(move |(word, _)| {
        words.iter().any(|part| part == word || part.strip_suffix('s') == Some(word))
    })
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
        for text in ["fn asked() {}", "struct Asked;", "enum A { ClaimAsked }", "fn a(asked: u8) {}"] {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]).len(), 1, "{text}");
        }
        assert_eq!(found(&[("crates/a/src/asked.rs", "")]).len(), 1);
        for text in ["fn asked_again() {}", "const A: &str = \"asked\";"] {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_retired_word_is_found_in_every_kind_of_name() {
        for text in [
            "struct OrderDesk;",
            "    pub(crate) async fn by_lane(x: u8) {}",
            "mod yard;",
            "fn a() { counter!(\"posthaste_lane_total\"); }",
            "pub trait Desk {}",
            "struct A { kicks: u8 }",
            "fn a(manners: u8) {}",
            "fn a() { let standing = 1; }",
            "fn a() { for (_, told) in b() {} }",
            "#[test] fn a_wrong_key_is_told() { b(); }",
            "enum A { Patrol }",
            "const SIEVE: u8 = 1;",
            "use crate::flaws::A;",
            "fn a() { vec![b.verdict]; }",
        ] {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]).len(), 1, "{text}");
        }
        assert_eq!(found(&[("crates/a/src/desk.rs", "")]).len(), 1);
        assert_eq!(found(&[("lua/patrol.lua", "")]).len(), 1);
        assert_eq!(found(&[("lua/a.lua", "local x = 1\nlocal blob_flaw = x\n")]).len(), 1);
        for text in [
            "// the desk of old",
            "fn planes() {}",
            "fn strip_suffix() {}",
            "fn a() { say(\"desk\"); }",
            "fn tears(years: u8) {}",
        ] {
            assert_eq!(found(&[("crates/a/src/a.rs", text)]), [""; 0], "{text}");
        }
        assert_eq!(found(&[("lua/a.lua", "-- a flaw\nlocal x = 'flaw'\n")]), [""; 0]);
    }
}
