//! The rule can fail: each way to break it is found.

use super::*;

const fn entry(name: &'static str, level: LogLevel, logged_by: &'static [Program]) -> LogEvent {
    LogEvent { name, level, logged_by, happened: "It happened.", meaning: "", remedy: "" }
}

const STOPPED: LogEvent = entry("courier.stopped", LogLevel::Warn, &[Program::Courier]);

fn texts(files: &[(&str, &str)], catalogue: &[LogEvent]) -> Vec<String> {
    let files: Vec<File> =
        files.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect();
    found(&files, catalogue)
        .into_iter()
        .map(|finding| format!("{} {}", finding.place, finding.text))
        .collect()
}

fn one(files: &[(&str, &str)], catalogue: &[LogEvent], expected: &str) {
    let found = texts(files, catalogue);
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}

const LOGGED: (&str, &str) = (
    "crates/courier/src/a.rs",
    "fn a() {\n    tracing::warn!(event = \"courier.stopped\", %channel, \"stopped\");\n}\n",
);

#[test]
fn a_line_with_an_event_of_the_catalogue_passes() {
    assert_eq!(texts(&[LOGGED], &[STOPPED]), [""; 0]);
    // In a closure, in a match, beside other levels.
    let nested =
        "fn a() { b(|| match c { _ => tracing::info!(d, event = \"courier.stopped\", \"x, {e}\") }); }";
    assert_eq!(texts(&[LOGGED, ("crates/courier/src/b.rs", nested)], &[STOPPED]), [""; 0]);
}

#[test]
fn a_line_without_an_event_is_found_with_its_line() {
    for text in [
        "fn a() {\n    tracing::error!(%error, \"event = \\\"courier.stopped\\\"\");\n}",
        "fn a() {\n    warn!(\"stopped\");\n}",
        "fn a() {\n    tracing::info!(events = 3, event.x = 4, \"stopped\");\n}",
    ] {
        one(&[LOGGED, ("crates/store/src/b.rs", text)], &[STOPPED], "crates/store/src/b.rs:2 no event");
    }
    let text = "fn a() { tracing::event!(Level::WARN, event = \"courier.stopped\"); }";
    one(&[LOGGED, ("crates/courier/src/b.rs", text)], &[STOPPED], "use error!, warn! or info!");
}

#[test]
fn two_events_and_events_by_value_are_found() {
    let two = "fn a() { tracing::warn!(event = \"courier.stopped\", event = \"courier.stopped\", \"x\"); }";
    one(&[LOGGED, ("crates/courier/src/b.rs", two)], &[STOPPED], "more than one event");
    for value in ["event", "%event", "event = name", "event = concat!(\"a\", \"b\")"] {
        let text = format!("fn a() {{ tracing::warn!({value}, \"x\"); }}");
        one(&[LOGGED, ("crates/courier/src/b.rs", &text)], &[STOPPED], "must be a literal");
    }
}

#[test]
fn an_event_that_is_not_in_the_catalogue_is_found() {
    one(&[LOGGED], &[], "`courier.stopped` is not in the catalogue");
}

#[test]
fn an_entry_that_nothing_logs_is_found() {
    one(&[], &[STOPPED], "nothing logs `courier.stopped`");
    for text in [
        "#[cfg(test)]\nmod tests { fn a() { tracing::warn!(event = \"courier.stopped\", \"x\"); } }",
        "#[cfg(test)]\nfn a() { tracing::warn!(event = \"courier.stopped\", \"x\"); }",
        "fn a() { tracing::debug!(event = \"courier.stopped\", \"x\"); }",
        "// tracing::warn!(event = \"courier.stopped\", \"x\");",
        "const A: &str = \"tracing::warn!(event = 1)\";",
    ] {
        one(&[("crates/courier/src/a.rs", text)], &[STOPPED], "nothing logs");
    }
    for path in [
        "crates/courier/tests/it/a.rs",
        "crates/rig/src/a.rs",
        "crates/courier/src/a_tests.rs",
        "tests/it/a.rs",
    ] {
        one(&[(path, LOGGED.1)], &[STOPPED], "nothing logs");
    }
}

#[test]
fn code_behind_a_test_module_is_read_again() {
    let text = "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn a() {\n warn!(\"x\");\n}";
    one(&[LOGGED, ("crates/courier/src/b.rs", text)], &[STOPPED], "b.rs:5 no event");
    let text = "#[cfg(test)]\nmod tests { fn b() {} }\nfn a() {\n warn!(\"x\");\n}";
    one(&[LOGGED, ("crates/courier/src/b.rs", text)], &[STOPPED], "b.rs:4 no event");
}

#[test]
fn the_catalogue_has_the_most_serious_level() {
    for level in [LogLevel::Info, LogLevel::Error] {
        let entry = entry("courier.stopped", level, &[Program::Courier]);
        one(&[LOGGED], &[entry], "is logged with level warn");
    }
    let ended =
        ("crates/courier/src/b.rs", "fn a() { tracing::info!(event = \"courier.stopped\", \"over\"); }");
    assert_eq!(texts(&[LOGGED, ended], &[STOPPED]), [""; 0]);
}

#[test]
fn the_catalogue_names_the_programs() {
    let of_queue = entry("courier.stopped", LogLevel::Warn, &[Program::Queue]);
    let found = texts(&[LOGGED], &[of_queue]);
    assert!(found.iter().any(|text| text.contains("does not say")), "{found:?}");
    assert!(found.iter().any(|text| text.contains("nothing in queue logs it")), "{found:?}");
    let of_both = entry("courier.stopped", LogLevel::Warn, &[Program::Courier, Program::Queue]);
    one(&[LOGGED], &[of_both], "nothing in queue logs it");
    assert_eq!(texts(&[("crates/store/src/a.rs", LOGGED.1)], &[of_both]), [""; 0]);
}

#[test]
fn states_of_servers_are_named_by_their_table() {
    let kept = ("crates/store/src/trouble/kept.rs", "fn a() { tracing::warn!(event, phase, \"x\"); }");
    let state = ("crates/store/src/redis_state.rs", "use x::{y, redis};\nfn a() { b(&redis::NEARLY_FULL); }");
    let full = entry("redis.nearly_full", LogLevel::Warn, &[Program::Queue, Program::Courier]);
    assert_eq!(texts(&[kept, state], &[full]), [""; 0]);
    let empty = ("crates/store/src/redis_state.rs", "fn a() {}");
    one(&[kept, empty], &[full], "nothing logs `redis.nearly_full`");
    one(&[kept, state], &[], "`redis.nearly_full` is not in the catalogue");
}
