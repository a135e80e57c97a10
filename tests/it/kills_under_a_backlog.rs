//! Couriers with 16 calls at once are killed repeatedly while thousands of deliveries wait: what they held and had not
//! begun is ready again within a lease and two seconds, however much else waits; and nothing is given up as poison,
//! since all of it was killed for other reasons.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use posthaste_model::{OnUnknown, State};
use posthaste_rig::process::Child;
use posthaste_rig::{eventually, eventually_async};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

const KILLS: usize = 40;
/// Number of kills after which the return of the deliveries is measured.
const MEASURED: usize = 10;
const LEASE: Duration = Duration::from_secs(2);
/// The promise: a lease plus this.
const MORE: Duration = Duration::from_secs(2);

/// Measures how long this machine stalls, so that such stalls do not count as lateness.
struct Stalls {
    worst_ms: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Stalls {
    fn watch() -> Self {
        let (worst_ms, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, over) = (Arc::clone(&worst_ms), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let start = Instant::now();
                std::thread::sleep(Duration::from_millis(10));
                let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                worst.fetch_max(ms.saturating_sub(10), Ordering::SeqCst);
            }
        });
        Self { worst_ms, ended }
    }

    fn worst(&self) -> Duration {
        Duration::from_millis(self.worst_ms.load(Ordering::SeqCst))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// Parcels leased by a courier: those with deliveries begun, and the others.
fn leased(scene: &Scene, courier: &Child) -> (BTreeSet<String>, BTreeSet<String>) {
    let reply = scene.server.command(&["HGETALL", "lease:{0}:email"]).expect("leases");
    let (mut begun, mut held) = (BTreeSet::new(), BTreeSet::new());
    for pair in reply.items().chunks(2) {
        let (parcel_id, lease) = (pair[0].text().unwrap_or_default(), pair[1].text().unwrap_or_default());
        let words: Vec<&str> = lease.split(' ').collect();
        if words.len() == 5 && words[4].starts_with(&format!("c{}-", courier.id())) {
            if words[1] == "1" { &mut begun } else { &mut held }.insert(parcel_id.to_owned());
        }
    }
    (begun, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_a_backlog_delay_little_and_poison_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let small = (0..4_000).map(|_| OrderSpec::of(1).on_unknown(OnUnknown::Retry));
    scene.accept_all(small).await?;
    let big = (0..12).map(|_| OrderSpec::of(500).on_unknown(OnUnknown::Retry));
    scene.accept_all(big).await?;
    let options = CourierOptions::default()
        .with("misbehaviour", "slow:50")
        .with("lease-ms", LEASE.as_millis())
        .with("send-window-ms", 1_500)
        // As in production: anything that waited for the sweep interval would wait half a minute.
        .with("sweep-ms", 30_000);
    let mut couriers = [scene.courier(&options)?, scene.courier(&options)?];
    let mut back = Vec::new();
    for kill in 0..KILLS {
        let victim = Arc::clone(&couriers[kill % 2]);
        eventually("the victim has deliveries on the wire", || match leased(&scene, &victim) {
            (begun, _) if !begun.is_empty() => Ok(()),
            (_, held) => Err(format!("{} parcels held", held.len())),
        });
        victim.kill9()?;
        let (killed, stalls) = (Instant::now(), Stalls::watch());
        couriers[kill % 2] = scene.courier(&options)?;
        if kill < MEASURED {
            let (_, held) = leased(&scene, &victim);
            let waiting = scene.server.command(&["ZCARD", "ready:{0}:email:bulk"])?.int();
            eventually_async("what was not begun is back", async || match leased(&scene, &victim).1.len() {
                0 => Ok(()),
                left => Err(format!("{left} of {} parcels", held.len())),
            })
            .await;
            let took = killed.elapsed();
            let most = LEASE + MORE + stalls.worst();
            assert!(took <= most, "{} parcels back after {took:?}, {waiting:?} wait", held.len());
            back.push(took);
        }
    }
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 10_000);
    assert_eq!(balance.reasons.get("poison"), None, "{balance:#?}");
    assert_eq!(balance.count(State::Failed), 0, "{balance:#?}");
    assert_eq!(balance.count(State::Sent) + balance.count(State::Unknown), 10_000);
    back.sort();
    assert_eq!(back.len(), MEASURED);
    println!("back after {:?} (middle), {:?} (last)", back[MEASURED / 2], back[MEASURED - 1]);
    Ok(())
}
