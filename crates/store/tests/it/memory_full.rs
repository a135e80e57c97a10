//! With memory full nothing new is accepted, whole or not at all, and what is queued still drains.

use std::time::Duration;

use posthaste_model::{Reason, SenderId, Verdict};
use posthaste_store::{
    AcceptError, CallError, ConnectError, Later, ParcelRef, Report, Reported, Role, Settlement, Store,
};

use crate::house::*;

#[tokio::test]
async fn new_orders_wait_and_old_ones_drain() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 1)).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "100kb"]).unwrap();
    let before = keys(&server);

    // The script itself refuses, whatever the gate knows.
    let sender: SenderId = "u1".parse().unwrap();
    let bound = store.bind(&sender, "abc", &suffix(2), [0; 12], Duration::from_secs(1)).await;
    assert!(matches!(bound, Err(CallError::Later { why: Later::Memory })), "{bound:?}");
    // The gate learns it within half a second; until then the script refuses.
    for big in [1, 6_000] {
        let told = store.accept(&order(suffix(3), big)).await;
        let full = matches!(
            told,
            Err(AcceptError::Refused(CallError::Later { why: Later::Memory | Later::NearlyFull }))
        );
        assert!(full, "{told:?}");
    }
    assert_eq!(keys(&server), before);

    // A courier that starts now can drain as well, but nobody can set up another database.
    let (store, _) = Store::connect(settings(&server.url()), Role::Courier(email())).await.unwrap();
    let other = format!("{}?db=1", server.url());
    let told = Store::connect(settings(&other), Role::Queue).await;
    assert!(matches!(told, Err(ConnectError::Call(CallError::Later { why: Later::Memory }))), "{told:?}");
    let (taken, fence) = claim(&store, 1, 10).await.unwrap();
    let parcel = ParcelRef { member: taken.parcels[0].member.clone(), fence };
    let report = Report { row: 0, attempt: 1, verdict: Verdict::Sent, reason: Reason::None, value: 0 };
    let settlement = Settlement { parcel, leave: true, reports: vec![report] };
    let settled = store.settle(0, &email(), &[settlement]).await.unwrap().reply;
    assert_eq!(settled.parcels[0].1, [Reported::Applied]);
}

#[tokio::test]
async fn from_nine_tenths_on_nothing_new_is_accepted() {
    let server = server();
    let store = tool(&server).await;
    let used: u64 = server.info("memory").unwrap()["used_memory"].parse().unwrap();
    // Full, or nearly so when something is freed meanwhile.
    server.command(&["CONFIG", "SET", "maxmemory", &used.to_string()]).unwrap();
    let told = store.accept(&order(suffix(1), 1)).await;
    assert!(
        matches!(told, Err(AcceptError::Refused(CallError::Later { why: Later::NearlyFull }))),
        "{told:?}"
    );
    server.command(&["CONFIG", "SET", "maxmemory", "4gb"]).unwrap();
    posthaste_rig::eventually_async("there is room again", async || {
        store.accept(&order(suffix(1), 1)).await.map_err(|error| error.to_string())
    })
    .await;
}
