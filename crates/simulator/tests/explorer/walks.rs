//! Random walks through large systems, with fixed seeds and numbers of steps, so that a run is the same
//! everywhere. Longer ones: `explore -- walk` (see `docs/simulator.md`).

use posthaste_simulator::Scripts;
use posthaste_simulator::explorer::coverage::Window;
use posthaste_simulator::explorer::walk::{Walked, walk};

const STEPS: u64 = 25_000;

fn walked(seed: u64) -> Walked {
    let scripts = Scripts::load().expect("the scripts of lua/");
    let walked = walk(seed, &scripts, |walked| walked.steps < STEPS);
    println!("{walked}");
    assert!(walked.failure.is_none(), "{walked}");
    assert_eq!(walked.steps, STEPS);
    assert!(walked.ended > 20 && walked.orders > 100, "{walked}");
    walked
}

#[test]
fn walks_meet_the_windows_and_break_nothing() {
    let walks: Vec<Walked> = [1, 2, 3, 4].into_iter().map(walked).collect();
    let missed: Vec<Window> = Window::ALL
        .iter()
        .copied()
        .filter(|window| walks.iter().all(|walked| !walked.windows.contains_key(window)))
        .collect();
    // The rarest windows depend on chance; the completely explored systems must enter each of theirs.
    assert!(missed.len() <= 3, "never entered: {missed:?}");
}

#[test]
fn a_seed_names_a_walk() {
    let scripts = Scripts::load().expect("the scripts of lua/");
    let walks = [7, 7, 8].map(|seed| walk(seed, &scripts, |walked| walked.steps < 3_000));
    assert_eq!(walks[0].windows, walks[1].windows);
    assert_ne!(walks[0].windows, walks[2].windows);
}
