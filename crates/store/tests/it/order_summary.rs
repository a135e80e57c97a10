//! The order summary shows the same as the whole record.

use posthaste_model::{Content, OrderId, State, Text};
use posthaste_store::{NewOrder, OrderSummary, Store};

use crate::house::*;

/// Reads the summary in both ways, and compares it with the whole record.
async fn checked(store: &Store, order_id: &OrderId, before: Option<&OrderSummary>) -> OrderSummary {
    let fresh = store.order_summary(order_id, None).await.unwrap().unwrap();
    let view = store.load_order(0, order_id).await.unwrap().unwrap();
    assert_eq!(fresh, OrderSummary::from(&view));
    let known = store.order_summary(order_id, before.or(Some(&fresh))).await.unwrap().unwrap();
    assert_eq!(known, fresh);
    fresh
}

#[tokio::test]
async fn summaries_of_both_layouts_match_the_record_at_every_stage() {
    let server = server();
    let store = tool(&server).await;
    let now = store.server_time().await.unwrap();
    for (n, deliveries) in [(1, 2), (2, 700)] {
        let mut new = NewOrder { no_contact: vec![(sms(), 3)], ..order(order_id(n), deliveries) };
        new.head.due = Some(in_an_hour(now));
        store.accept(&new).await.unwrap();
        let waiting = checked(&store, &order_id(n), None).await;
        assert_eq!(waiting.waits_until, Some(in_an_hour(now)));
        assert_eq!((waiting.totals()[State::Pending], waiting.totals().no_contact), (deliveries, 3));
        let moved = in_an_hour(in_an_hour(now));
        store.reschedule(0, &order_id(n), moved, None, waiting.revision).await.unwrap();
        let moved = checked(&store, &order_id(n), Some(&waiting)).await;
        assert!(moved.revision > waiting.revision && moved.head.due > waiting.head.due);
        store.cancel(0, &order_id(n)).await.unwrap();
        let ended = checked(&store, &order_id(n), Some(&moved)).await;
        assert_eq!(ended.totals()[State::Cancelled], deliveries);
        assert!(ended.ended_before_due() && ended.finished.is_some());
    }
}

#[tokio::test]
async fn a_summary_shows_an_order_in_progress() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 3)).await.unwrap();
    let before = checked(&store, &order_id(1), None).await;
    assert_eq!(before.waits_until, None);
    claim(&store, 1, 2).await.unwrap();
    let after = checked(&store, &order_id(1), Some(&before)).await;
    assert_eq!((after.totals()[State::Sending], after.totals()[State::Pending]), (2, 1));
}

#[tokio::test]
async fn the_content_is_found_in_both_layouts() {
    let server = server();
    let store = tool(&server).await;
    let content = Content { text: Text::new("Hi"), origin: "page".into(), ..Content::default() };
    for (n, deliveries) in [(1, 1), (2, 600)] {
        let mut new = order(order_id(n), deliveries);
        new.head.content = content.clone();
        store.accept(&new).await.unwrap();
        assert_eq!(*store.order_content(&order_id(n)).await.unwrap().unwrap(), content);
    }
}

#[tokio::test]
async fn missing_and_unreadable_orders_are_reported() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.order_summary(&order_id(5), None).await.unwrap(), None);
    assert!(store.order_content(&order_id(5)).await.unwrap().is_none());
    store.accept(&order(order_id(5), 1)).await.unwrap();
    let before = store.order_summary(&order_id(5), None).await.unwrap().unwrap();
    server.command(&["HSET", "history:{0}:u1:5", "h", "nonsense"]).unwrap();
    assert!(store.order_summary(&order_id(5), None).await.is_err());
    assert!(store.order_summary(&order_id(5), Some(&before)).await.is_err());
    server.command(&["DEL", "history:{0}:u1:5"]).unwrap();
    assert_eq!(store.order_summary(&order_id(5), Some(&before)).await.unwrap(), None);
}
