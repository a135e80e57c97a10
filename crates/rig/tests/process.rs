//! Child processes, tested with the shell.

use posthaste_rig::process::OutputStream;
use posthaste_rig::{Child, Error, Sig, eventually};

fn shell(script: &str) -> Child {
    Child::spawn("sh", ["-c", script], [("GREETING", "hello")]).expect("a shell")
}

#[test]
fn keeps_both_streams_and_the_exit_status() {
    let child = shell("echo $GREETING; echo oops >&2; exit 3");
    assert_eq!(child.wait_exit().expect("an end").code(), Some(3));
    let mut lines = child.lines().expect("complete output");
    lines.sort_by_key(|line| line.text.clone());
    assert_eq!(lines[0].text, "hello");
    assert_eq!(lines[0].source, OutputStream::Stdout);
    assert_eq!(lines[1].text, "oops");
    assert_eq!(lines[1].source, OutputStream::Stderr);
    assert!(child.output().expect("complete output").contains("oops\n"));
}

#[test]
fn waits_for_a_line_and_for_a_later_one() {
    let child = shell("echo ready 1; trap 'echo ready 2' TERM; echo armed; while :; do sleep 0.01; done");
    child.wait_line("ready", |line| line.starts_with("ready")).expect("the first line");
    child.wait_line("armed", |line| line == "armed").expect("the trap");
    let mark = child.mark();
    child.signal(Sig::Term).expect("a signal");
    let line = child.wait_line_from(mark, "ready again", |line| line.starts_with("ready")).expect("a line");
    assert_eq!(line, "ready 2");
}

#[test]
fn reports_a_process_that_ends_without_the_line() {
    let child = shell("echo last words");
    match child.wait_line("ready", |line| line == "ready") {
        Err(Error::Dead { last_words, .. }) => assert_eq!(last_words, "last words"),
        other => panic!("expected Dead, got {other:?}"),
    }
}

#[test]
fn kill9_leaves_a_signal_as_the_status() {
    use std::os::unix::process::ExitStatusExt;
    let child = shell("exec sleep 1000");
    assert_eq!(child.exit_status().expect("a status"), None);
    assert_eq!(child.kill9().expect("an end").signal(), Some(9));
    child.signal(Sig::Term).expect("a signal to the dead is no error");
}

#[test]
fn a_frozen_process_does_nothing_until_thawed() {
    let child = shell("i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done");
    child.wait_line("a number", |line| line == "2").expect("it runs");
    child.freeze().expect("frozen");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("a process");
    assert!(stat.contains(") T "), "{stat}");
    let next = (child.mark() + 20).to_string();
    child.thaw().expect("thawed");
    child.wait_line("a later number", |line| line == next).expect("it runs on");
}

#[test]
fn a_dropped_child_is_gone() {
    let child = shell("exec sleep 1000");
    let path = format!("/proc/{}", child.id());
    drop(child);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_missing_program_is_named() {
    let error = Child::spawn("no-such-program", [""; 0], [("", ""); 0]).expect_err("no such program");
    assert!(matches!(&error, Error::Install { what, .. } if what == "no-such-program"), "{error}");
}

#[test]
fn children_die_with_a_killed_parent() {
    if posthaste_rig::process::find_program("setpriv").is_none() {
        panic!("setpriv is missing: apt-get install util-linux");
    }
    let parent = Child::spawn(env!("CARGO_BIN_EXE_rig-parent"), [""; 0], [("", ""); 0]).expect("a parent");
    let line = parent.wait_line("the grandchild", |line| line.contains("grandchild=")).expect("it reports");
    let pid = line.rsplit('=').next().expect("a pid").to_owned();
    // The program that then becomes the grandchild sets the option to die with its parent.
    eventually("the grandchild runs", || {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).map_err(|e| e.to_string())?;
        if name.trim() == "sleep" { Ok(()) } else { Err(name) }
    });
    parent.kill9().expect("killed");
    eventually("the grandchild is gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
        if matches!(state, None | Some('Z')) { Ok(()) } else { Err(format!("state {state:?}")) }
    });
}

#[test]
fn programs_of_the_workspace_are_found_beside_the_tests() {
    let found = posthaste_rig::process::workspace_binary("rig-parent").expect("a program");
    assert_eq!(found, std::path::Path::new(env!("CARGO_BIN_EXE_rig-parent")));
    let error = posthaste_rig::process::workspace_binary("no-such-program").expect_err("none");
    assert!(error.to_string().contains("cargo build --workspace --bins"), "{error}");
}
