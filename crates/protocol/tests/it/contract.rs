//! Compares the header of each script's file with its codec, and checks rules for all scripts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use posthaste_model::Reason;
use posthaste_protocol::Contract;
use posthaste_protocol::scripts::{ALL, PARTS};

/// The header of a script's file.
#[derive(Debug, Default)]
struct Header {
    keys: Vec<(u32, bool, String)>,
    args: Vec<(u32, bool, String)>,
    codes: Vec<String>,
    bound: String,
    uses: Option<Vec<String>>,
}

fn lua_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lua")
}

fn names_in(dir: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("a file").path());
    let scripts = files.filter(|path| path.extension().is_some_and(|e| e == "lua"));
    scripts.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

/// `3 text` or `3… text`.
fn numbered(rest: &str) -> (u32, bool, String) {
    let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let (digits, many) = number.strip_suffix('…').map_or((number, false), |digits| (digits, true));
    (digits.parse().expect("a number"), many, text.to_owned())
}

fn header(source: &str) -> Header {
    let mut header = Header::default();
    for line in source.lines().skip(1).map_while(|line| line.strip_prefix("--")) {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("KEYS ") {
            header.keys.push(numbered(rest));
        } else if let Some(rest) = line.strip_prefix("ARGV ") {
            header.args.push(numbered(rest));
        } else if let Some(rest) = line.strip_prefix("REPLY ") {
            let code = rest.split(' ').next().unwrap_or_default().to_owned();
            if !header.codes.contains(&code) {
                header.codes.push(code);
            }
        } else if let Some(rest) = line.strip_prefix("BOUND ") {
            header.bound = rest.to_owned();
        } else if let Some(rest) = line.strip_prefix("uses:") {
            header.uses = Some(rest.split_whitespace().map(str::to_owned).collect());
        }
    }
    header
}

/// The text without comments.
fn code_of(text: &str) -> String {
    text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The text between `open` and the next quote, each time.
fn quoted<'a>(text: &'a str, open: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split('\'').next()).collect()
}

fn check_numbers(name: &str, what: &str, reported: &[(u32, bool, String)], expected: &[&str]) {
    let texts: Vec<&str> = reported.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(texts, expected, "{what} of {name}");
    for (at, (number, many, _)) in reported.iter().enumerate() {
        assert_eq!(*number as usize, at + 1, "{what} of {name}");
        assert!(!many || at + 1 == reported.len(), "only the last {what} of {name} may repeat");
    }
}

fn check(contract: &Contract) {
    let name = contract.text.name;
    let header = header(contract.source);
    check_numbers(name, "KEYS", &header.keys, contract.keys);
    check_numbers(name, "ARGV", &header.args, contract.args);
    let as_set = |codes: &[&str]| codes.iter().map(|c| (*c).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        header.codes.iter().cloned().collect::<BTreeSet<_>>(),
        as_set(contract.codes),
        "codes of {name}"
    );
    assert!(!header.bound.is_empty(), "no BOUND in {name}");
    let first = contract.source.lines().next().unwrap_or_default();
    assert_eq!(first, if contract.drains { "#!lua flags=allow-oom" } else { "#!lua" }, "flags of {name}");
    let uses = header.uses.unwrap_or_else(|| panic!("no `uses:` in {name}"));
    for part in &uses {
        assert!(PARTS.iter().any(|(known, _)| known == part), "{name} uses {part}, which does not exist");
    }
    // Every code used in the script, or in a part that it uses, is documented in its header.
    let (code, whole) = (code_of(contract.source), code_of(&contract.text.body));
    let written = quoted(&code, "return { '").into_iter().chain(quoted(&whole, "return answer('"));
    for word in written {
        assert!(contract.codes.contains(&word), "{name} returns {word}, which its header does not list");
    }
}

#[test]
fn headers_and_codecs_agree() {
    ALL.iter().for_each(|contract| check(contract));
}

#[test]
fn every_file_has_its_codec() {
    let codecs: BTreeSet<String> = ALL.iter().map(|c| c.text.name.to_owned()).collect();
    assert_eq!(codecs, names_in(&lua_dir()));
    let parts: BTreeSet<String> = PARTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(parts, names_in(&lua_dir().join("lib")));
    let used: BTreeSet<String> = ALL.iter().filter_map(|c| header(c.source).uses).flatten().collect();
    assert_eq!(used, parts, "unused parts");
}

#[test]
fn only_acceptance_may_be_refused_for_memory() {
    let refused: Vec<&str> = ALL.iter().filter(|c| !c.drains).map(|c| c.text.name).collect();
    assert_eq!(
        refused,
        [
            "bind_idempotency_key",
            "create_key",
            "enqueue",
            "limit_sms",
            "put_alias",
            "register_process",
            "stage_parcels",
            "take_daily_places"
        ]
    );
}

#[test]
fn scripts_use_nothing_a_simulator_would_have_to_copy() {
    for contract in ALL {
        let code = code_of(&contract.text.body);
        for word in ["cjson", "cmsgpack", "struct.", "bit.", "loadstring", "math.random", "os.", "print("] {
            assert!(!code.contains(word), "{} uses {word}", contract.text.name);
        }
        assert_eq!(
            code.matches("pcall").count(),
            code.matches("redis.pcall('").count(),
            "{}",
            contract.text.name
        );
        for command in quoted(&code, "redis.pcall('") {
            assert!(
                ["HMGET", "HGETALL", "HGET", "GET"].contains(&command),
                "{}: {command}",
                contract.text.name
            );
        }
    }
}

#[test]
fn time_is_read_at_most_once() {
    for contract in ALL {
        let times = code_of(&contract.text.body).matches("redis.call('TIME')").count();
        assert!(times <= 1, "{} reads the time {times} times", contract.text.name);
    }
}

#[test]
fn reasons_of_scripts_are_those_of_the_table() {
    let (_, text) = PARTS.iter().find(|(name, _)| *name == "reason").expect("lib/reason.lua");
    let mut found = 0;
    for line in code_of(text).lines().filter(|line| !line.trim().is_empty()) {
        let (names, numbers) =
            line.trim_start_matches("local ").split_once('=').expect("local NAMES = NUMBERS");
        let (names, numbers): (Vec<_>, Vec<_>) = (names.split(',').collect(), numbers.split(',').collect());
        assert_eq!(names.len(), numbers.len(), "{line}");
        for (name, number) in names.iter().zip(numbers) {
            let word = name.trim().trim_start_matches("R_").to_ascii_lowercase();
            let reason = Reason::from_code(number.trim().parse().expect("a number"));
            assert_eq!(reason.word(), word, "{name}");
            found += 1;
        }
    }
    assert_eq!(found, 7);
}
