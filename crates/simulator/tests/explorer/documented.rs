//! `docs/simulator.md` names windows and mutants as the program does.

use posthaste_simulator::explorer::coverage::Window;
use posthaste_simulator::explorer::mutants::MUTANTS;

const PAGE: &str = include_str!("../../../../docs/simulator.md");

/// The first cells of a table's rows, below its head.
fn names(head: &str) -> Vec<&'static str> {
    let (_, table) = PAGE.split_once(head).expect("the table");
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(" | ").next()).collect()
}

#[test]
fn windows_are_named_as_in_the_code() {
    let names = names("| window | times |");
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(Window::ALL.iter().any(|window| window.text() == name), "{name}");
    }
    assert!(PAGE.contains(&format!("All {} were entered", Window::ALL.len())));
}

#[test]
fn survivors_are_named_as_in_the_code() {
    let survivors: Vec<&str> =
        MUTANTS.iter().filter(|mutant| mutant.survives.is_some()).map(|mutant| mutant.name).collect();
    assert_eq!(names("| survivor | why |"), survivors);
}
