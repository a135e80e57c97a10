//! Recipients of orders, page by page.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason, State, UnixMs};
use posthaste_store::{
    AttemptReport, DeliveryCursor, DeliveryFilter, DeliveryPage, ListedDelivery, NewOrder, ParcelRef, Role,
    Settlement, Store, WaitingFor,
};

use crate::house::*;

async fn page(
    store: &Store,
    filter: &DeliveryFilter,
    cursor: Option<&DeliveryCursor>,
    limit: usize,
) -> DeliveryPage {
    store.recipients(&order_id(1), filter, cursor, limit).await.unwrap().unwrap()
}

async fn all(store: &Store, filter: &DeliveryFilter, limit: usize) -> Vec<ListedDelivery> {
    let (mut deliveries, mut cursor) = (vec![], None);
    loop {
        let page = page(store, filter, cursor.as_ref(), limit).await;
        assert!(page.deliveries.len() <= limit);
        deliveries.extend(page.deliveries);
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
        if cursor.is_none() {
            return deliveries;
        }
    }
}

fn in_states(states: &[State]) -> DeliveryFilter {
    DeliveryFilter { states: states.to_vec(), ..DeliveryFilter::default() }
}

fn indexes(deliveries: &[ListedDelivery]) -> Vec<u32> {
    deliveries.iter().map(|listed| listed.delivery.index).collect()
}

/// Reports on deliveries of the first parcel.
async fn settle(store: &Store, fence: u64, reports: &[(u16, OutcomeKind, Reason, u32)]) {
    let parcel_id = format!("{}:0", order_id(1)).parse().unwrap();
    let report = |(delivery, outcome, reason, value): &(u16, OutcomeKind, Reason, u32)| AttemptReport {
        delivery: *delivery,
        attempt: 1,
        outcome: *outcome,
        reason: *reason,
        value: *value,
    };
    let reports = reports.iter().map(report).collect();
    let settlement = Settlement { parcel: ParcelRef { parcel_id, fence }, leave: false, reports };
    store.settle(0, &email(), &[settlement]).await.unwrap();
}

#[tokio::test]
async fn deliveries_of_both_layouts_are_returned_in_order() {
    for (deliveries, limits) in [(7, [3, 7]), (1_300, [333, 5_000])] {
        let server = server();
        let store = tool(&server).await;
        let mut new = order(order_id(1), deliveries);
        if deliveries > 7 {
            new.deliveries.extend((0..600).map(|index| (sms(), delivery(index))));
        }
        store
            .accept(&NewOrder { no_contact: vec![("vk".parse().unwrap(), 4)], ..new.clone() })
            .await
            .unwrap();
        for limit in limits {
            let reported = all(&store, &DeliveryFilter::default(), limit).await;
            let expected: Vec<_> = new
                .deliveries
                .iter()
                .map(|(channel, delivery)| (channel.clone(), delivery.clone()))
                .collect();
            let found: Vec<_> =
                reported.into_iter().map(|listed| (listed.channel, listed.delivery)).collect();
            assert_eq!(found, expected);
        }
        let of = |channel| DeliveryFilter { channel: Some(channel), ..DeliveryFilter::default() };
        assert_eq!(all(&store, &of(sms()), 500).await.len(), new.deliveries.len() - deliveries as usize);
        assert_eq!(all(&store, &of("vk".parse().unwrap()), 500).await, []);
        assert_eq!(all(&store, &of("fax".parse().unwrap()), 500).await, []);
    }
}

#[tokio::test]
async fn outcomes_and_what_deliveries_wait_for_are_returned() {
    for deliveries in [6, 506] {
        let server = server();
        let store = tool(&server).await;
        store.accept(&order(order_id(1), deliveries)).await.unwrap();
        let first = page(&store, &DeliveryFilter::default(), None, 1).await.deliveries.remove(0);
        assert_eq!((first.outcome.state, first.waits_for), (State::Pending, Some(WaitingFor::NoCourier)));

        let fence =
            posthaste_rig::eventually_async("a claim", async || match claim(&store, 1, 0).await.unwrap() {
                (taken, fence) if !taken.parcels.is_empty() => Ok(fence),
                _ => Err("nothing is ready"),
            })
            .await;
        let parcel = ParcelRef { parcel_id: format!("{}:0", order_id(1)).parse().unwrap(), fence };
        let begun: Vec<(u16, u8)> = (0..5).map(|delivery| (delivery, 1)).collect();
        store.begin(0, &email(), Duration::from_secs(60), 0, &[(parcel, begun)]).await.unwrap();
        let reports = [
            (0, OutcomeKind::Delivered, Reason::None, 0),
            (1, OutcomeKind::Failed, Reason::InvalidAddress, 0),
            (2, OutcomeKind::Retry, Reason::ProviderUnavailable, 60_000),
            (3, OutcomeKind::NotSent, Reason::Throttled, 60_000),
        ];
        settle(&store, fence, &reports).await;
        let reported = page(&store, &DeliveryFilter::default(), None, 6).await.deliveries;
        let states: Vec<_> = reported.iter().map(|listed| listed.outcome.state).collect();
        let (pending, waits) = (State::Pending, |at: usize| reported[at].waits_for.unwrap());
        assert_eq!(states, [State::Delivered, State::Failed, pending, pending, State::Sending, pending]);
        assert_eq!(reported[1].outcome.reason, Reason::InvalidAddress);
        assert_eq!((reported[0].waits_for, reported[1].waits_for), (None, None));
        assert_eq!((waits(2).word(), waits(2).at()), ("retry", reported[2].outcome.not_before));
        assert_eq!((waits(3).word(), waits(3).at()), ("rate_limit", reported[3].outcome.not_before));
        assert_eq!((waits(4), waits(5)), (WaitingFor::Answer, WaitingFor::Courier));
        assert_eq!((reported[2].outcome.tries, reported[3].outcome.tries), (1, 0));

        settle(&store, fence, &[(4, OutcomeKind::Unknown, Reason::TimedOut, 0)]).await;
        for (states, expected) in [
            (vec![State::Failed], vec![1]),
            (vec![State::Delivered, State::Failed], vec![0, 1]),
            (vec![State::Unknown], vec![4]),
            (vec![State::Unresolved], vec![4]),
            (vec![State::Cancelled], vec![]),
        ] {
            assert_eq!(indexes(&all(&store, &in_states(&states), 2).await), expected, "{states:?}");
        }
        assert_eq!(all(&store, &in_states(&[State::Pending]), 100).await.len(), deliveries as usize - 3);
        let unknown = all(&store, &in_states(&[State::Unknown]), 1).await.remove(0);
        assert_eq!(unknown.waits_for, Some(WaitingFor::Resolver));
    }
}

#[tokio::test]
async fn a_waiting_order_shows_until_when() {
    let server = server();
    let store = tool(&server).await;
    let _courier = Store::connect(settings(&server.url()), Role::Courier(email())).await.unwrap();
    let due = in_an_hour(store.server_time().await.unwrap());
    let mut new = order(order_id(1), 600);
    new.head.due = Some(due);
    store.accept(&new).await.unwrap();
    let waiting = page(&store, &DeliveryFilter::default(), None, 5_000).await;
    assert_eq!(waiting.summary.waits_until, Some(due));
    assert!(waiting.deliveries.iter().all(|listed| listed.waits_for == Some(WaitingFor::Due(due))));
    store.cancel(0, &order_id(1)).await.unwrap();
    let ended = page(&store, &in_states(&[State::Cancelled]), None, 5_000).await;
    assert_eq!(ended.deliveries.len(), 600);
    assert!(ended.deliveries.iter().all(|listed| listed.waits_for.is_none()));
}

#[tokio::test]
async fn few_deliveries_among_many_are_found_in_bounded_steps() {
    let server = server();
    let store = tool(&server).await;
    let mut new = order(order_id(1), 45 * 500);
    new.head.due = Some(in_an_hour(store.server_time().await.unwrap()));
    store.accept(&new).await.unwrap();
    // Only the last delivery but one has failed.
    let mut record = vec![1, 243, 0, 0, 0, 0]; // 499 pending
    record.extend((0..500).flat_map(|delivery| {
        let state = if delivery == 498 { 0x14 } else { 0x10 };
        [state, 1, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]
    }));
    server.command(&[b"SET".as_slice(), b"outcome:{0}:u1:1:email:44", &record]).unwrap();
    let mut counters = Vec::new();
    for count in [22_499_u32, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] {
        counters.extend(count.to_be_bytes());
    }
    server.command(&[b"HSET".as_slice(), b"history:{0}:u1:1", b"c:email", &counters]).unwrap();
    let failed = in_states(&[State::Failed]);
    let first = page(&store, &failed, None, 10).await;
    assert_eq!(
        (first.deliveries.len(), first.next.map(|next| next.to_string())),
        (0, Some("0-20000".into()))
    );
    assert_eq!(indexes(&all(&store, &failed, 10).await), [22_498]);
    // For a state that no delivery is in, nothing is read.
    let none = page(&store, &in_states(&[State::Expired]), None, 10).await;
    assert_eq!((none.deliveries.len(), none.next), (0, None));
}

#[tokio::test]
async fn odd_cursors_and_missing_orders_are_answered() {
    let server = server();
    let store = tool(&server).await;
    assert!(store.recipients(&order_id(1), &DeliveryFilter::default(), None, 5).await.unwrap().is_none());
    for deliveries in [3, 600] {
        let n = u64::from(deliveries);
        store.accept(&order(order_id(n), deliveries)).await.unwrap();
        for cursor in ["0-600", "0-4294967295", "1-0", "4294967295-5", "0-599"] {
            let from = cursor.parse().unwrap();
            let page =
                store.recipients(&order_id(n), &DeliveryFilter::default(), Some(&from), 5).await.unwrap();
            let expected = usize::from(deliveries == 600 && cursor == "0-599");
            assert_eq!(page.unwrap().deliveries.len(), expected, "{deliveries} {cursor}");
        }
    }
    assert_eq!(
        store.order_summary(&order_id(3), None).await.unwrap().map(|summary| summary.head.due > UnixMs(0)),
        Some(true)
    );
}
