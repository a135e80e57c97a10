//! A script without one of its guards is detected, unless another guard protects the same; then the reason is stated.

use posthaste_simulator::explorer::mutants::{Hunt, MUTANTS};

#[test]
fn mutants_are_detected() {
    let mut killed = 0;
    let mut surviving = 0;
    for mutant in MUTANTS {
        match mutant.hunt().expect("its text is in the script once") {
            Hunt::Killed(report) => {
                println!("killed {}: {report}", mutant.name);
                assert!(mutant.survives.is_none(), "{} no longer survives", mutant.name);
                killed += 1;
            }
            Hunt::Survived(report) => {
                println!("survives {}: {report}", mutant.name);
                let why = mutant.survives.unwrap_or_default();
                assert!(why.len() > 20, "{} survives: {report}", mutant.name);
                surviving += 1;
            }
        }
    }
    println!("{killed} killed, {surviving} survive");
    assert!(killed >= 30, "{killed} killed, {surviving} survive");
}
