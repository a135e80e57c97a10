//! probe
use posthaste_model::OnUnknown;
use posthaste_simulator::Scripts;
use posthaste_simulator::explorer::{Explorer, scenario::Budgets, suite};
use stateright::{Checker, Model};
use std::sync::Arc;
use std::time::Instant;
#[allow(clippy::all)]
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let policy = if a[1] == "retry" { OnUnknown::Retry } else { OnUnknown::Hold };
    let mut s = suite::two_rows(policy, a[2] == "big", Budgets::NONE); s.partial = a[3] == "partial"; s.blame=true; s.single_begins=true;
    let b = &mut s.budgets;
    *b = Budgets::NONE;
    for kv in &a[4..] {
        let (k, v) = kv.split_once('=').unwrap();
        let v: u8 = v.parse().unwrap();
        match k {
            "crashes" => b.crashes = v,
            "lost" => b.lost = v,
            "copies" => b.copies = v,
            "later" => b.later = v,
            "refused" => b.refused = v,
            "throttled" => b.throttled = v,
            "unknown" => b.unknown = v,
            "not_sent" => b.not_sent = v,
            "overslept" => b.overslept = v,
            "zombies" => b.zombies = v,
            "stops" => b.stops = v,
            "cancels" => b.cancels = v,
            "expiries" => b.expiries = v,
            "receipts" => b.receipts = v,
            "renewals" => b.renewals = v,
            "moves" => b.moves = v,
            "begin" => {
                s.claim_begins = if v == 0 {
                    vec![0]
                } else if v == 1 {
                    vec![2]
                } else {
                    vec![0, 2]
                }
            }
            "window" => s.window_units = v as i64,
            "rows" => {
                s.parcels[0].rows = v as u32;
                s.orders[0].channels[0].1 = v as u32;
            }
            "blame" => s.blame = v > 0,
            "single" => s.single_begins = v > 0,
            "life" => s.life_ms = i64::from(v) * 1000,
            "lead" => s.lead_ms = i64::from(v),
            "strangers" => s.strangers = true,
            "accept" => s.orders[0].accepted = false,
            "asking" => s.resolver = posthaste_simulator::explorer::scenario::Resolver::Asking,
            "trusting" => s.resolver = posthaste_simulator::explorer::scenario::Resolver::Trusting,
            "due" => s.orders[0].due_in = Some(std::time::Duration::from_secs(u64::from(v))),
            "tokens" => s.tokens = v > 0,
            "couriers" => s.couriers = vec![0; v as usize],
            _ => panic!(),
        }
    }
    let e = Explorer::new(s, Scripts::load().unwrap());
    let counts = Arc::clone(&e.counts);
    let t = Instant::now();
    let c = e.checker().threads(2).timeout(std::time::Duration::from_secs(300)).spawn_bfs().join();
    println!(
        "{:?} unique {} total {} depth {} dbs {} done {} in {:?}",
        a,
        c.unique_state_count(),
        c.state_count(),
        c.max_depth(),
        c.model().databases(),
        c.is_done(),
        t.elapsed()
    );
    for (w, n) in counts.entered() {
        println!("   {n:>9} {}", w.text());
    }
    for (name, path) in c.discoveries() {
        println!("BROKEN {name}");
        let last = path.last_state().clone();
        for a in path.into_actions() {
            println!("   {a:?}");
        }
        println!("{:?}", last.fault);
    }
}
