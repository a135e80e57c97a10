//! When memory is full, no new order is accepted, not even in part, and the queue still drains.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason, SenderId};
use posthaste_store::{
    AcceptError, AttemptReport, CallError, ConnectError, ParcelRef, Reported, Retryable, Role, Settlement,
    Store,
};

use crate::house::*;

#[tokio::test]
async fn new_orders_wait_and_old_ones_drain() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "100kb"]).unwrap();
    let before = keys(&server);

    // The script itself refuses, whatever the memory guard knows.
    let sender: SenderId = "u1".parse().unwrap();
    let bound =
        store.bind_idempotency_key(&sender, "abc", &order_id(2), [0; 12], Duration::from_secs(1)).await;
    assert!(matches!(bound, Err(CallError::Retryable { why: Retryable::Memory })), "{bound:?}");
    // The memory guard learns it within half a second; until then the script refuses.
    for big in [1, 6_000] {
        let reported = store.accept(&order(order_id(3), big)).await;
        let full = matches!(
            reported,
            Err(AcceptError::Refused(CallError::Retryable {
                why: Retryable::Memory | Retryable::NearlyFull
            }))
        );
        assert!(full, "{reported:?}");
    }
    assert_eq!(keys(&server), before);

    // A courier that starts now can drain the queue as well, but no other database can be set up.
    let (store, _) = Store::connect(settings(&server.url()), Role::Courier(email())).await.unwrap();
    let other = format!("{}?db=1", server.url());
    let reported = Store::connect(settings(&other), Role::Queue).await;
    assert!(
        matches!(reported, Err(ConnectError::Call(CallError::Retryable { why: Retryable::Memory }))),
        "{reported:?}"
    );
    let (taken, fence) = claim(&store, 1, 10).await.unwrap();
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let report =
        AttemptReport { delivery: 0, attempt: 1, outcome: OutcomeKind::Sent, reason: Reason::None, value: 0 };
    let settlement = Settlement { parcel, leave: true, reports: vec![report] };
    let settled = store.settle(0, &email(), &[settlement]).await.unwrap().reply;
    assert_eq!(settled.parcels[0].1, [Reported::Applied]);
}

#[tokio::test]
async fn above_90_percent_nothing_new_is_accepted() {
    let server = server();
    let store = tool(&server).await;
    let used: u64 = server.info("memory").unwrap()["used_memory"].parse().unwrap();
    // Full, or nearly full if something is freed meanwhile.
    server.command(&["CONFIG", "SET", "maxmemory", &used.to_string()]).unwrap();
    let reported = store.accept(&order(order_id(1), 1)).await;
    assert!(
        matches!(reported, Err(AcceptError::Refused(CallError::Retryable { why: Retryable::NearlyFull }))),
        "{reported:?}"
    );
    server.command(&["CONFIG", "SET", "maxmemory", "4gb"]).unwrap();
    posthaste_rig::eventually_async("there is memory again", async || {
        store.accept(&order(order_id(1), 1)).await.map_err(|error| error.to_string())
    })
    .await;
}
