//! A stopped channel loses nothing, makes few calls, and resumes when it works again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Capabilities, Outcome, Settings};
use posthaste_model::State;
use posthaste_store::{Backlog, ChannelState};

use super::house::{House, Order, brisk};
use super::script::{Answer, Script};

fn stopping(bad: &Arc<AtomicBool>) -> Arc<Script> {
    let bad = Arc::clone(bad);
    Script::new(Capabilities { concurrency: 2, max_concurrency: 2, ..Capabilities::default() }, move |_| {
        Answer::Say(if bad.load(Ordering::SeqCst) {
            Outcome::Stop("the credential is bad".to_owned())
        } else {
            Outcome::Sent
        })
    })
}

async fn checked(script: &Script, times: u64) {
    eventually_async("checks of the channel", async || {
        if script.checks() >= times { Ok(()) } else { Err(script.checks()) }
    })
    .await;
}

#[tokio::test]
async fn a_stopped_channel_keeps_its_queue_and_resumes_when_fixed() {
    let house = House::open().await;
    let bad = Arc::new(AtomicBool::new(true));
    let script = stopping(&bad);
    script.set_well(Err("the credential is bad".to_owned()));
    let orders = [house.deliveries(1).await, house.deliveries(3).await, house.deliveries(120).await];
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    checked(&script, 3).await;
    let later = house.deliveries(1).await;
    checked(&script, 6).await;
    assert!(script.calls() <= 2, "{} calls with a bad credential", script.calls());
    assert_eq!(house.size("leased:{0}:email"), 0, "others may try");
    for order in orders.iter().chain([&later]) {
        let deliveries = house.outcomes(order).await;
        assert!(deliveries.iter().all(|delivery| delivery.state == State::Pending && delivery.tries == 0));
    }
    // Meanwhile it still promotes due orders of all channels.
    let sms = "sms".parse().unwrap();
    let due = Order { channel: sms, due_in: Some(Duration::from_millis(50)), ..Order::default() };
    house.tell(&due).await;
    eventually_async("an order of another channel is promoted", async || {
        match house.size("ready:{0}:sms:bulk") {
            1 => Ok(()),
            n => Err(n),
        }
    })
    .await;

    // Whoever reads the database knows why, and what waits since when.
    let email = "email".parse().unwrap();
    let state = async || {
        let seen = house.store.couriers().await.unwrap();
        seen.into_iter().find(|one| one.channel == email).map(|one| (one.state, one.why))
    };
    let stopped = Some((ChannelState::Stopped, Some("the credential is bad".to_owned())));
    eventually_async("a report that it is stopped", async || match state().await {
        found if found == stopped => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
    assert_eq!(house.store.backlog(&email).await.unwrap().deliveries, 125);

    bad.store(false, Ordering::SeqCst);
    script.set_well(Ok(()));
    eventually_async("a report that it works", async || match state().await {
        Some((ChannelState::Working, None)) => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
    for order in orders.iter().chain([&later]) {
        house.ended(order).await;
        assert!(house.outcomes(order).await.iter().all(|delivery| delivery.state == State::Sent));
    }
    assert_eq!(house.store.backlog(&email).await.unwrap(), Backlog::default());
    courier.stopped().await;
    assert_eq!(state().await.map(|(state, _)| state), Some(ChannelState::Silent), "it has taken its leave");
}

/// A check that does not test the credential must not make a courier hammer its provider.
#[tokio::test]
async fn a_check_that_always_passes_does_not_cause_hammering() {
    let house = House::open().await;
    let bad = Arc::new(AtomicBool::new(true));
    let script = stopping(&bad);
    house.deliveries(1).await;
    let settings = Settings { check_every: Duration::from_secs(1), ..brisk() };
    let courier = house.courier(Arc::clone(&script), settings).await;
    let seen = script.eventually(3).await;
    for pair in seen.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(1), "after {:?}", pair[1].at - pair[0].at);
    }
    bad.store(false, Ordering::SeqCst);
    courier.stopped().await;
}
