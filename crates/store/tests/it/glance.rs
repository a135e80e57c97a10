//! The light record of an order tells what the whole record tells.

use posthaste_model::{Content, State, Suffix, Text};
use posthaste_store::{Glance, NewOrder, Store};

use crate::house::*;

/// Glances in both ways, and holds them to the whole record.
async fn checked(store: &Store, suffix: &Suffix, before: Option<&Glance>) -> Glance {
    let fresh = store.glance(suffix, None).await.unwrap().unwrap();
    let view = store.load_order(0, suffix).await.unwrap().unwrap();
    assert_eq!(fresh, Glance::from(&view));
    let known = store.glance(suffix, before.or(Some(&fresh))).await.unwrap().unwrap();
    assert_eq!(known, fresh);
    fresh
}

#[tokio::test]
async fn orders_of_both_layouts_are_told_at_every_moment() {
    let server = server();
    let store = tool(&server).await;
    let now = store.server_time().await.unwrap();
    for (n, rows) in [(1, 2), (2, 700)] {
        let mut new = NewOrder { no_contact: vec![(sms(), 3)], ..order(suffix(n), rows) };
        new.head.due = Some(in_an_hour(now));
        store.accept(&new).await.unwrap();
        let waiting = checked(&store, &suffix(n), None).await;
        assert_eq!(waiting.waits_until, Some(in_an_hour(now)));
        assert_eq!((waiting.totals()[State::Pending], waiting.totals().no_contact), (rows, 3));
        let moved = in_an_hour(in_an_hour(now));
        store.reschedule(0, &suffix(n), moved, None, waiting.revision).await.unwrap();
        let moved = checked(&store, &suffix(n), Some(&waiting)).await;
        assert!(moved.revision > waiting.revision && moved.head.due > waiting.head.due);
        store.cancel(0, &suffix(n)).await.unwrap();
        let ended = checked(&store, &suffix(n), Some(&moved)).await;
        assert_eq!(ended.totals()[State::Cancelled], rows);
        assert!(ended.ended_unrung() && ended.finished.is_some());
    }
}

#[tokio::test]
async fn an_order_on_its_way_is_told() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(suffix(1), 3)).await.unwrap();
    let before = checked(&store, &suffix(1), None).await;
    assert_eq!(before.waits_until, None);
    claim(&store, 1, 2).await.unwrap();
    let after = checked(&store, &suffix(1), Some(&before)).await;
    assert_eq!((after.totals()[State::Sending], after.totals()[State::Pending]), (2, 1));
}

#[tokio::test]
async fn what_an_order_says_is_found_in_both_layouts() {
    let server = server();
    let store = tool(&server).await;
    let content = Content { text: Text::new("Hi"), origin: "page".into(), ..Content::default() };
    for (n, rows) in [(1, 1), (2, 600)] {
        let mut new = order(suffix(n), rows);
        new.head.content = content.clone();
        store.accept(&new).await.unwrap();
        assert_eq!(*store.order_content(&suffix(n)).await.unwrap().unwrap(), content);
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_readable_is_told() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.glance(&suffix(5), None).await.unwrap(), None);
    assert!(store.order_content(&suffix(5)).await.unwrap().is_none());
    store.accept(&order(suffix(5), 1)).await.unwrap();
    let before = store.glance(&suffix(5), None).await.unwrap().unwrap();
    server.command(&["HSET", "history:{0}:u1:5", "h", "nonsense"]).unwrap();
    assert!(store.glance(&suffix(5), None).await.is_err());
    assert!(store.glance(&suffix(5), Some(&before)).await.is_err());
    server.command(&["DEL", "history:{0}:u1:5"]).unwrap();
    assert_eq!(store.glance(&suffix(5), Some(&before)).await.unwrap(), None);
}
