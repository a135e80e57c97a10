//! Requests and replies are lost: nothing happens twice, and nothing is lost.

use std::sync::atomic::{AtomicU32, Ordering};

use posthaste_model::{OutcomeKind, Reason};
use posthaste_rig::proxy::{LateCopy, ProxiedCommand, Traffic};
use posthaste_rig::{PrivateServer, Proxy};
use posthaste_store::{AcceptError, AttemptReport, CallError, ParcelRef, Reported, Role, Settlement, Store};

use crate::house::*;

async fn behind_proxy(server: &PrivateServer) -> (Store, Proxy) {
    let proxy = Proxy::unix(server.endpoint(), Traffic::Resp).unwrap();
    let (store, _) = Store::connect(settings(&proxy.url()), Role::Tool).await.unwrap();
    (store, proxy)
}

/// Whether a command calls a script on this key.
fn call_on(key: &'static str) -> impl Fn(&ProxiedCommand) -> bool {
    move |command| command.is("EVALSHA") && command.contains(key)
}

#[tokio::test]
async fn an_order_whose_reply_was_lost_is_accepted_once() {
    let server = server();
    let (store, proxy) = behind_proxy(&server).await;
    // The server already knows the script, so that one reply is one run.
    store.accept(&order(order_id(1), 1)).await.unwrap();
    proxy.drop_replies_of(1, call_on("history:{0}:u1:2"));
    let accepted = store.accept(&order(order_id(2), 1)).await.unwrap();
    assert_eq!(proxy.report().dropped_replies, 1);
    assert!(!accepted.already_done, "our own first try is not an earlier order");
    assert_eq!(claim(&store, 1, 0).await.unwrap().0.parcels.len(), 2);
}

#[tokio::test]
async fn a_refusal_counts_only_when_no_reply_was_lost_before() {
    let server = server();
    let (store, proxy) = behind_proxy(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let refuse = |n: &'static str, from: u32| {
        let seen = AtomicU32::new(0);
        proxy.answer_instead(1, *b"-OOM command not allowed\r\n", move |command| {
            call_on(n)(command) && seen.fetch_add(1, Ordering::SeqCst) >= from
        });
    };
    refuse("history:{0}:u1:2", 0);
    let refused = store.accept(&order(order_id(2), 1)).await.unwrap_err();
    assert!(matches!(refused, AcceptError::Refused(CallError::Retryable { .. })), "{refused:?}");
    assert!(refused.nothing_stored().is_some());
    refuse("history:{0}:u1:3", 1);
    proxy.drop_replies_of(1, call_on("history:{0}:u1:3"));
    let unknown = store.accept(&order(order_id(3), 1)).await.unwrap_err();
    assert!(matches!(unknown, AcceptError::Unknown(CallError::NoReply(_))), "{unknown:?}");
    assert!(unknown.nothing_stored().is_none());
    assert!(store.order_summary(&order_id(2), None).await.unwrap().is_none());
    assert!(store.order_summary(&order_id(3), None).await.unwrap().is_some());
    assert!(store.accept(&order(order_id(3), 1)).await.unwrap().already_done);
}

#[tokio::test]
async fn a_big_order_survives_lost_requests_and_replies() {
    let server = server();
    let (store, proxy) = behind_proxy(&server).await;
    // The server already knows the scripts, so that a lost reply is a lost run.
    store.accept(&order(order_id(1), 600)).await.unwrap();
    let accepts = call_on("history:{0}:u1:2");
    proxy.drop_replies_of(1, |call| {
        call.contains("u1:2") && call.contains("staging:") && !call.contains("history:")
    });
    proxy.drop_requests_of(1, accepts);
    let accepted = store.accept(&order(order_id(2), 7_000)).await.unwrap();
    assert_eq!(accepted.channels[0].deliveries, 7_000);
    assert_eq!((proxy.report().dropped_replies, proxy.report().dropped_requests), (1, 1));
    let parcels = keys(&server).iter().filter(|key| key.starts_with("parcel:{0}:u1:2:")).count();
    assert_eq!(parcels, 14);
}

#[tokio::test]
async fn a_claim_whose_reply_was_lost_is_answered_again_under_its_number() {
    let server = server();
    let (store, proxy) = behind_proxy(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    claim(&store, 1, 0).await.unwrap();
    store.accept(&order(order_id(2), 1)).await.unwrap();
    proxy.drop_replies_of(1, call_on("request:{0}:email"));
    assert!(matches!(claim(&store, 2, 1).await, Err(CallError::NoReply(_))));
    let (taken, fence) = claim(&store, 2, 1).await.unwrap();
    assert!(taken.already_done);
    assert_eq!((taken.parcels.len(), fence), (1, 4));
    assert_eq!(taken.parcels[0].parcel_id.order_id, order_id(2));
}

#[tokio::test]
async fn a_settle_is_repeated_harmlessly_even_by_a_late_second_copy() {
    let server = server();
    let (store, proxy) = behind_proxy(&server).await;
    store.accept(&order(order_id(1), 1)).await.unwrap();
    let (taken, fence) = claim(&store, 1, 1).await.unwrap();
    let parcel = ParcelRef { parcel_id: taken.parcels[0].parcel_id.clone(), fence };
    let report =
        AttemptReport { delivery: 0, attempt: 1, outcome: OutcomeKind::Sent, reason: Reason::None, value: 0 };
    let settlement = Settlement { parcel, leave: true, reports: vec![report] };
    // The server already knows the script, so that the copy runs.
    store.settle(0, &email(), &[]).await.unwrap();
    proxy.copy_late(LateCopy::of(call_on("crashes:{0}:email")).after(1));
    let settled = store.settle(0, &email(), std::slice::from_ref(&settlement)).await.unwrap().reply;
    assert_eq!(settled.parcels[0].1, [Reported::Applied]);
    let before = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    eventually("the copy arrived", || {
        let copies = proxy.report().copies;
        if copies.len() == 1 { Ok(()) } else { Err(format!("{copies:?}")) }
    })
    .await;
    let after = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert_eq!((after.revision, after.counters), (before.revision, before.counters));
}
