//! Reading orders that were cancelled, moved, or are gone.

use posthaste_model::{ParcelId, State};
use posthaste_store::{Cancelled, Rescheduled};

use crate::house::*;

#[tokio::test]
async fn a_big_order_cancelled_before_it_was_due_has_only_cancelled_deliveries() {
    let server = server();
    let store = tool(&server).await;
    let now = store.server_time().await.unwrap();
    let mut order = order(order_id(1), 700);
    order.head.due = Some(in_an_hour(now));
    store.accept(&order).await.unwrap();
    let cancelled = store.cancel(0, &order_id(1)).await.unwrap().reply;
    assert_eq!(cancelled, Cancelled::Ok { already_done: false, stopped: 700, too_late: 0 });
    let view = store.load_order(0, &order_id(1)).await.unwrap().unwrap();
    assert!(view.ended_before_due());
    assert_eq!(view.counters[0].1[State::Cancelled], 700);
    for (number, deliveries) in [(0, 500), (1, 200)] {
        let parcel_id = ParcelId { order_id: order_id(1), number };
        let outcomes =
            store.load_outcomes(0, &email(), &parcel_id, &view.head, view.ended_before_due()).await.unwrap();
        assert_eq!(outcomes.counters()[State::Cancelled], deliveries);
        assert_eq!(outcomes.counts(), (0, 0, 0));
    }
}

#[tokio::test]
async fn an_order_can_be_rescheduled_as_long_as_it_waits() {
    let server = server();
    let store = tool(&server).await;
    let now = store.server_time().await.unwrap();
    let mut order = order(order_id(1), 1);
    order.head.due = Some(in_an_hour(now));
    store.accept(&order).await.unwrap();
    let later = in_an_hour(in_an_hour(now));
    let moved = store.reschedule(0, &order_id(1), later, None, 0).await.unwrap().reply;
    assert_eq!(moved, Rescheduled::Ok { due: later, not_after: later.after(SPAN) });
    assert_eq!(store.load_order(0, &order_id(1)).await.unwrap().unwrap().waits_until, Some(later));
    store.reschedule(0, &order_id(1), now, None, 1).await.unwrap();
    posthaste_rig::eventually_async("it is promoted", async || {
        match store.load_order(0, &order_id(1)).await.unwrap().unwrap().waits_until {
            None => Ok(()),
            at => {
                store.promote_due(0).await.unwrap();
                Err(format!("{at:?}"))
            }
        }
    })
    .await;
    assert_eq!(store.reschedule(0, &order_id(1), later, None, 2).await.unwrap().reply, Rescheduled::Started);
}

#[tokio::test]
async fn missing_orders_are_reported() {
    let server = server();
    let store = tool(&server).await;
    assert!(store.load_order(0, &order_id(5)).await.unwrap().is_none());
    assert_eq!(store.cancel(0, &order_id(5)).await.unwrap().reply, Cancelled::NotFound);
    server.command(&["HSET", "history:{0}:u1:5", "h", "nonsense"]).unwrap();
    assert!(matches!(
        store.load_order(0, &order_id(5)).await,
        Err(posthaste_store::CallError::InvalidReply(_))
    ));
}
