//! Recipients of orders, page by page.

use std::time::Duration;

use posthaste_model::{Reason, State, UnixMs, Verdict};
use posthaste_store::{
    ListedRow, NewOrder, ParcelRef, Report, Role, RowCursor, RowFilter, RowPage, Settlement, Store, WaitsFor,
};

use crate::house::*;

async fn page(store: &Store, filter: &RowFilter, cursor: Option<&RowCursor>, limit: usize) -> RowPage {
    store.recipients(&suffix(1), filter, cursor, limit).await.unwrap().unwrap()
}

async fn all(store: &Store, filter: &RowFilter, limit: usize) -> Vec<ListedRow> {
    let (mut rows, mut cursor) = (vec![], None);
    loop {
        let page = page(store, filter, cursor.as_ref(), limit).await;
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows);
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
        if cursor.is_none() {
            return rows;
        }
    }
}

fn in_states(states: &[State]) -> RowFilter {
    RowFilter { channel: None, states: states.to_vec() }
}

fn indexes(rows: &[ListedRow]) -> Vec<u32> {
    rows.iter().map(|listed| listed.row.index).collect()
}

/// Reports on rows of the first parcel.
async fn settle(store: &Store, fence: u64, reports: &[(u16, Verdict, Reason, u32)]) {
    let member = format!("{}:0", suffix(1)).parse().unwrap();
    let report = |(row, verdict, reason, value): &(u16, Verdict, Reason, u32)| Report {
        row: *row,
        attempt: 1,
        verdict: *verdict,
        reason: *reason,
        value: *value,
    };
    let reports = reports.iter().map(report).collect();
    let settlement = Settlement { parcel: ParcelRef { member, fence }, leave: false, reports };
    store.settle(0, &email(), &[settlement]).await.unwrap();
}

#[tokio::test]
async fn rows_of_both_layouts_are_told_in_order() {
    for (rows, limits) in [(7, [3, 7]), (1_300, [333, 5_000])] {
        let server = server();
        let store = tool(&server).await;
        let mut new = order(suffix(1), rows);
        if rows > 7 {
            new.rows.extend((0..600).map(|index| (sms(), row(index))));
        }
        store
            .accept(&NewOrder { no_contact: vec![("vk".parse().unwrap(), 4)], ..new.clone() })
            .await
            .unwrap();
        for limit in limits {
            let told = all(&store, &RowFilter::default(), limit).await;
            let expected: Vec<_> =
                new.rows.iter().map(|(channel, row)| (channel.clone(), row.clone())).collect();
            let found: Vec<_> = told.into_iter().map(|listed| (listed.channel, listed.row)).collect();
            assert_eq!(found, expected);
        }
        let of = |channel| RowFilter { channel: Some(channel), states: vec![] };
        assert_eq!(all(&store, &of(sms()), 500).await.len(), new.rows.len() - rows as usize);
        assert_eq!(all(&store, &of("vk".parse().unwrap()), 500).await, []);
        assert_eq!(all(&store, &of("fax".parse().unwrap()), 500).await, []);
    }
}

#[tokio::test]
async fn what_became_of_a_row_and_what_it_waits_for_is_told() {
    for rows in [6, 506] {
        let server = server();
        let store = tool(&server).await;
        store.accept(&order(suffix(1), rows)).await.unwrap();
        let first = page(&store, &RowFilter::default(), None, 1).await.rows.remove(0);
        assert_eq!((first.outcome.state, first.waits_for), (State::Pending, Some(WaitsFor::NoCourier)));

        let fence =
            posthaste_rig::eventually_async("a claim", async || match claim(&store, 1, 0).await.unwrap() {
                (taken, fence) if !taken.parcels.is_empty() => Ok(fence),
                _ => Err("nothing is ready"),
            })
            .await;
        let parcel = ParcelRef { member: format!("{}:0", suffix(1)).parse().unwrap(), fence };
        let begun: Vec<(u16, u8)> = (0..5).map(|row| (row, 1)).collect();
        store.begin(0, &email(), Duration::from_secs(60), 0, &[(parcel, begun)]).await.unwrap();
        let reports = [
            (0, Verdict::Delivered, Reason::None, 0),
            (1, Verdict::Failed, Reason::BadAddress, 0),
            (2, Verdict::Retry, Reason::ProviderFailed, 60_000),
            (3, Verdict::NotSent, Reason::Throttled, 60_000),
        ];
        settle(&store, fence, &reports).await;
        let told = page(&store, &RowFilter::default(), None, 6).await.rows;
        let states: Vec<_> = told.iter().map(|listed| listed.outcome.state).collect();
        let (pending, waits) = (State::Pending, |at: usize| told[at].waits_for.unwrap());
        assert_eq!(states, [State::Delivered, State::Failed, pending, pending, State::Sending, pending]);
        assert_eq!(told[1].outcome.reason, Reason::BadAddress);
        assert_eq!((told[0].waits_for, told[1].waits_for), (None, None));
        assert_eq!((waits(2).word(), waits(2).at()), ("retry", told[2].outcome.not_before));
        assert_eq!((waits(3).word(), waits(3).at()), ("throttle", told[3].outcome.not_before));
        assert_eq!((waits(4), waits(5)), (WaitsFor::Answer, WaitsFor::Courier));
        assert_eq!((told[2].outcome.tries, told[3].outcome.tries), (1, 0));

        settle(&store, fence, &[(4, Verdict::Unknown, Reason::TimedOut, 0)]).await;
        for (states, expected) in [
            (vec![State::Failed], vec![1]),
            (vec![State::Delivered, State::Failed], vec![0, 1]),
            (vec![State::Unknown], vec![4]),
            (vec![State::Unresolved], vec![4]),
            (vec![State::Cancelled], vec![]),
        ] {
            assert_eq!(indexes(&all(&store, &in_states(&states), 2).await), expected, "{states:?}");
        }
        assert_eq!(all(&store, &in_states(&[State::Pending]), 100).await.len(), rows as usize - 3);
        let unknown = all(&store, &in_states(&[State::Unknown]), 1).await.remove(0);
        assert_eq!(unknown.waits_for, Some(WaitsFor::Resolver));
    }
}

#[tokio::test]
async fn an_order_that_waits_says_until_when() {
    let server = server();
    let store = tool(&server).await;
    let _courier = Store::connect(settings(&server.url()), Role::Courier(email())).await.unwrap();
    let due = in_an_hour(store.server_time().await.unwrap());
    let mut new = order(suffix(1), 600);
    new.head.due = Some(due);
    store.accept(&new).await.unwrap();
    let waiting = page(&store, &RowFilter::default(), None, 5_000).await;
    assert_eq!(waiting.glance.waits_until, Some(due));
    assert!(waiting.rows.iter().all(|listed| listed.waits_for == Some(WaitsFor::Due(due))));
    store.cancel(0, &suffix(1)).await.unwrap();
    let ended = page(&store, &in_states(&[State::Cancelled]), None, 5_000).await;
    assert_eq!(ended.rows.len(), 600);
    assert!(ended.rows.iter().all(|listed| listed.waits_for.is_none()));
}

#[tokio::test]
async fn few_rows_among_many_are_found_in_bounded_steps() {
    let server = server();
    let store = tool(&server).await;
    let mut new = order(suffix(1), 45 * 500);
    new.head.due = Some(in_an_hour(store.server_time().await.unwrap()));
    store.accept(&new).await.unwrap();
    // The last row but one alone has failed.
    let mut record = vec![1, 243, 0, 0, 0, 0]; // 499 pending
    record.extend((0..500).flat_map(|row| {
        let state = if row == 498 { 0x14 } else { 0x10 };
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
    assert_eq!((first.rows.len(), first.next.map(|next| next.to_string())), (0, Some("0-20000".into())));
    assert_eq!(indexes(&all(&store, &failed, 10).await), [22_498]);
    // Of a state no row is in nothing is looked at.
    let none = page(&store, &in_states(&[State::Expired]), None, 10).await;
    assert_eq!((none.rows.len(), none.next), (0, None));
}

#[tokio::test]
async fn odd_cursors_and_orders_that_are_gone_are_answered() {
    let server = server();
    let store = tool(&server).await;
    assert!(store.recipients(&suffix(1), &RowFilter::default(), None, 5).await.unwrap().is_none());
    for rows in [3, 600] {
        let n = u64::from(rows);
        store.accept(&order(suffix(n), rows)).await.unwrap();
        for cursor in ["0-600", "0-4294967295", "1-0", "4294967295-5", "0-599"] {
            let from = cursor.parse().unwrap();
            let page = store.recipients(&suffix(n), &RowFilter::default(), Some(&from), 5).await.unwrap();
            let expected = usize::from(rows == 600 && cursor == "0-599");
            assert_eq!(page.unwrap().rows.len(), expected, "{rows} {cursor}");
        }
    }
    assert_eq!(
        store.glance(&suffix(3), None).await.unwrap().map(|glance| glance.head.due > UnixMs(0)),
        Some(true)
    );
}
