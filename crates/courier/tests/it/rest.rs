//! An idle courier makes few calls to the server. The test counts calls instead of measuring time.

use std::collections::BTreeMap;

use posthaste_courier::{Capabilities, Settings};

use super::house::House;
use super::script::Script;

/// Number of claims observed.
const LOOKS: usize = 60;

/// The name of the command in a line of MONITOR, if it came from a client and not from a script.
fn command(line: &str) -> Option<&str> {
    let (origin, rest) = line.split_once("] ")?;
    (!origin.ends_with(" lua")).then(|| rest.split('"').nth(1)).flatten()
}

#[tokio::test]
async fn an_idle_courier_makes_at_most_two_calls_per_claim() {
    let house = House::open().await;
    // Everything runs ten times as often as by default, so that the rounds of the sweeper and the wakeup check are
    // counted too. Heartbeats of connections are not set here and are counted separately.
    let usual = Settings::default();
    let settings = Settings {
        poll: usual.poll / 10,
        sweep_every: usual.sweep_every / 10,
        hearing_every: usual.hearing_every / 10,
        ..usual
    };
    let courier = house.courier(Script::accepting(Capabilities::default()), settings).await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;

    let url = house.server.endpoint();
    let counts = tokio::task::spawn_blocking(move || {
        let mut monitor = posthaste_rig::Connection::open(&url).unwrap();
        monitor.command(&["MONITOR"]).unwrap();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut looks = 0;
        while looks < LOOKS {
            let line = monitor.receive().unwrap();
            let text = line.text().unwrap().to_owned();
            let Some(name) = command(&text) else { continue };
            // Only a claim names the due orders, the ready parcels and the leases.
            looks += usize::from(text.contains("due:{0}:bulk") && text.contains("leased:{0}:email"));
            // A script is loaded once per server.
            if name != "SCRIPT" {
                *counts.entry(name.to_uppercase()).or_default() += 1;
            }
        }
        counts
    })
    .await
    .unwrap();
    let beats = counts.get("PING").copied().unwrap_or(0);
    let calls = counts.values().sum::<usize>() - beats;
    // The connection that listens sends PING every four seconds, the time of four claims at the default poll.
    assert!(calls + LOOKS / 4 <= LOOKS * 2, "{calls} calls in {LOOKS} claims: {counts:?}");
    courier.stopped().await;
}

#[test]
fn lines_of_scripts_are_distinguished_from_lines_of_clients() {
    assert_eq!(command("1700000000.123456 [0 unix:/tmp/s] \"EVALSHA\" \"abc\""), Some("EVALSHA"));
    assert_eq!(command("1700000000.123456 [0 lua] \"ZCARD\" \"abc\""), None);
}
