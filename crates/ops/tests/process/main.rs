//! Behaviour of a whole process: exit codes, the last line, signals, panics, log lines on standard error.
//!
//! These concern a process and not a thread, so the test starts itself again with the name of a scenario.

mod child;
mod scenario;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::Signal;
use serde_json::Value;

use self::child::Child;

fn main() -> ExitCode {
    if let Some(name) = child::requested_for() {
        return scenario::run(&name);
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    let trials = vec![
        trial("each_end_has_its_exit_code_and_one_line", each_end_has_its_exit_code_and_one_line),
        trial("bad_settings_end_the_start_and_are_named", bad_settings_end_the_start_and_are_named),
        trial("only_the_fixed_text_of_a_panic_is_logged", only_the_fixed_text_of_a_panic_is_logged),
        trial("a_panic_is_a_log_event_once_logging_is_set_up", a_panic_is_a_log_event_once_logging_is_set_up),
        trial("events_of_the_log_facade_are_written", events_of_the_log_facade_are_written),
        trial("lines_to_a_pipe_have_no_colours", lines_to_a_pipe_have_no_colours),
        trial("a_signal_drains_and_a_second_one_cuts_off", a_signal_drains_and_a_second_one_cuts_off),
        trial("work_that_finishes_after_a_signal_ends_well", work_that_finishes_after_a_signal_ends_well),
        trial("the_end_of_the_drain_time_cuts_off", the_end_of_the_drain_time_cuts_off),
        trial("a_stuck_thread_does_not_delay_the_exit", a_stuck_thread_does_not_delay_the_exit),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn each_end_has_its_exit_code_and_one_line() {
    for (scenario, code, line) in [
        ("done", 0, ""),
        ("interrupted", 75, ""),
        ("usage", 78, "probe: the flag is unknown\n"),
        ("refused", 78, "probe: cannot start: cannot reach redis://***@h:1: this database is foreign\n"),
        ("unavailable", 69, "probe: no answer\n"),
        ("software", 70, "probe: a state that cannot be\n"),
    ] {
        let ended = Child::start(scenario).end();
        assert_eq!((ended.code, ended.errors.as_str()), (Some(code), line), "{scenario}");
    }
}

fn bad_settings_end_the_start_and_are_named() {
    let ended = Child::start("settings").end();
    assert_eq!(ended.code, Some(78));
    assert_eq!(
        ended.errors,
        "probe: stop.drain_for: \"20\" has no unit; write a whole number and a unit (ms, s, m, h, d), for example \
         \"10s\" (from flag --drain-for)\n"
    );
}

fn only_the_fixed_text_of_a_panic_is_logged() {
    let ended = Child::start("panic_fixed").end();
    assert_eq!(ended.code, Some(70));
    assert!(
        ended.errors.contains("scenario.rs:") && ended.errors.contains(": the table is empty\n"),
        "{ended:?}"
    );
    assert!(ended.errors.ends_with("probe: panicked; see the message above\n"), "{ended:?}");

    let ended = Child::start("panic_with_values").end();
    assert_eq!(ended.code, Some(70));
    assert!(ended.errors.contains("scenario.rs:") && ended.errors.contains("withheld"), "{ended:?}");
    assert!(!ended.errors.contains("a@b.c"), "{ended:?}");
}

fn a_panic_is_a_log_event_once_logging_is_set_up() {
    let ended = Child::start("panic_in_a_task").end();
    assert_eq!(ended.code, Some(70), "{ended:?}");
    let event = ended.event("panicked");
    assert_eq!(event["level"], "ERROR");
    assert_eq!(event["text"], "the table is empty");
    assert!(event["location"].as_str().is_some_and(|at| at.contains("scenario.rs:")), "{event}");
}

fn events_of_the_log_facade_are_written() {
    let ended = Child::start("log_facade").end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let event = ended.event("from the facade");
    assert_eq!((&event["level"], &event["target"]), (&Value::from("INFO"), &Value::from("other")));
    assert!(!ended.errors.contains("not asked for"), "{ended:?}");
}

fn lines_to_a_pipe_have_no_colours() {
    let ended = Child::start("human_lines").end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.errors.ends_with(" INFO process::scenario: for people rows=3\n"), "{ended:?}");
    assert!(!ended.errors.contains('\u{1b}'), "{ended:?}");
}

fn a_signal_drains_and_a_second_one_cuts_off() {
    for (first, second) in [(Signal::TERM, Signal::INT), (Signal::INT, Signal::TERM)] {
        let mut child = Child::start("hold_until_hard");
        child.wait_for("up");
        child.signal(first);
        child.wait_for("soft");
        child.signal(second);
        child.wait_for("hard");
        let ended = child.end();
        assert_eq!(ended.code, Some(75), "{ended:?}");
    }
}

fn work_that_finishes_after_a_signal_ends_well() {
    let mut child = Child::start("finish_on_soft");
    child.wait_for("up");
    child.signal(Signal::TERM);
    child.wait_for("soft");
    assert_eq!(child.end().code, Some(0));
}

fn the_end_of_the_drain_time_cuts_off() {
    let mut child = Child::start("short_drain");
    child.wait_for("up");
    child.signal(Signal::TERM);
    child.wait_for("soft");
    child.wait_for("hard");
    assert_eq!(child.end().code, Some(75));
}

fn a_stuck_thread_does_not_delay_the_exit() {
    assert_eq!(Child::start("stuck_thread").end().code, Some(0));
}
