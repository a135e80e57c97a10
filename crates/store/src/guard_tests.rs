//! Conclusions of the guard from epochs, marks and runs.

use super::*;

fn halted(guard: &EpochGuard) -> bool {
    matches!(guard.check(), Err(CallError::Fatal(FatalReason::Halted(_))))
}

fn run(found: u64, raised: u64) -> ServerRun {
    ServerRun { id: format!("r{found}"), found, raised, opened: UnixMs(found + 1), continued: None }
}

#[test]
fn a_mark_that_goes_back_stops_calls_until_go_on() {
    let guard = EpochGuard::new(2, Duration::ZERO);
    let partition = guard.partition(1).unwrap();
    guard.saw_mark(partition, 0, 7, Some(UnixMs(5))).unwrap();
    // Sent before 7 was known, answered afterwards.
    guard.saw_mark(partition, 5, 6, Some(UnixMs(6))).unwrap();
    assert_eq!(partition.fence(), 7);
    assert!(guard.saw_mark(partition, 7, 6, Some(UnixMs(7))).is_err());
    assert!(halted(&guard));
    guard.go_on();
    assert!(guard.check().is_ok());
    guard.saw_epoch(partition, "a").unwrap();
    assert!(guard.saw_epoch(partition, "b").is_err());
    guard.go_on();
    assert!(guard.check().is_err() && !halted(&guard));
    assert!(guard.partition(2).is_err());
}

#[test]
fn unconfirmed_changes_may_be_lost() {
    for (confirmed, halts) in [(40, false), (41, true)] {
        let guard = EpochGuard::new(1, Duration::ZERO);
        guard.partition(0).unwrap().set_confirms_itself(false);
        let partition = guard.partition(0).unwrap();
        guard.saw_runs(partition, vec![run(0, 0)], (0, 0), UnixMs(1)).unwrap();
        guard.saw_mark(partition, 0, 50, Some(UnixMs(2))).unwrap();
        partition.confirmed(confirmed);
        let reported =
            guard.saw_runs(partition, vec![run(0, 0), run(40, 2_000_000)], (50, 2_000_000), UnixMs(3));
        assert_eq!((reported.is_err(), halted(&guard)), (halts, halts));
    }
}

#[test]
fn a_late_answer_of_a_replaced_server_is_detected() {
    let guard = EpochGuard::new(1, Duration::ZERO);
    let partition = guard.partition(0).unwrap();
    guard.saw_runs(partition, vec![run(0, 0)], (0, 0), UnixMs(1)).unwrap();
    guard.saw_mark(partition, 0, 40, Some(UnixMs(2))).unwrap();
    guard.saw_runs(partition, vec![run(0, 0), run(40, 2_000_000)], (40, 2_000_000), UnixMs(3)).unwrap();
    // Sent after the new run was known: nothing is concluded, its connection is replaced.
    assert!(!guard.saw_mark(partition, 2_000_000, 45, Some(UnixMs(4))).unwrap());
    assert!(guard.check().is_ok());
    // Sent before that, and acknowledged only by the old server.
    assert!(guard.saw_mark(partition, 40, 45, Some(UnixMs(4))).is_err());
    assert!(halted(&guard));
}

#[test]
fn epochs_of_one_name_are_the_same_database() {
    let guard = EpochGuard::new(1, Duration::ZERO);
    let partition = guard.partition(0).unwrap();
    guard.saw_epoch(partition, "a+2").unwrap();
    assert!(matches!(
        guard.found_epoch(partition, "a+2"),
        CallError::Retryable { why: Retryable::Recovered }
    ));
    for found in ["!a+2", "a+3", "a", ""] {
        assert!(
            matches!(guard.found_epoch(partition, found), CallError::Fatal(FatalReason::Halted(_))),
            "{found}"
        );
        guard.go_on();
    }
    assert!(matches!(guard.found_epoch(partition, "b"), CallError::Fatal(FatalReason::Epoch { .. })));
}
