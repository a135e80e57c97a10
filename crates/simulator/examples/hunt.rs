//! hunt
use posthaste_simulator::explorer::{Explorer, mutants::MUTANTS};
use posthaste_simulator::Scripts;
use stateright::{Checker, HasDiscoveries, Model};
use std::time::{Duration, Instant};
fn main() {
    let only = std::env::args().nth(1);
    for m in MUTANTS {
        if only.as_ref().is_some_and(|o| !m.name.contains(o.as_str())) { continue; }
        let scripts = match m.scripts() { Ok(s) => s, Err(e) => { println!("CANT {e}"); continue } };
        let t = Instant::now();
        let c = Explorer::new((m.hunted_in)(), scripts).checker().threads(2).target_state_count(150_000).timeout(Duration::from_secs(120)).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let d = c.discoveries();
        if let Some((name, path)) = d.into_iter().next() {
            println!("killed {:45} {:?} {} states, depth {}: {name}", m.name, t.elapsed(), c.unique_state_count(), path.clone().into_actions().len());
            if only.is_some() { println!("{:?}", path.last_state().fault); for a in path.into_actions() { println!("   {a:?}"); } }
        } else {
            println!("SURVIVES {:45} {:?} {} states done {} {:?}", m.name, t.elapsed(), c.unique_state_count(), c.is_done(), m.survives);
        }
    }
    let _ = Scripts::load();
}
