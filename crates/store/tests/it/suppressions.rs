//! Suppressions: added to a list, found, counted, deleted; and the key under which addresses are hashed.

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste_model::{Address, ParcelId, Reason, SenderId};
use posthaste_rig::{PrivateServer, eventually_async};
use posthaste_store::{
    CallError, ConnectError, ConsentNotice, FatalReason, NoticeMoment, Role, Settings, Store, Suppress,
    Suppressed, SuppressionCursor, SuppressionSource,
};

use tokio::time::Instant;

use crate::house::*;

const KEY: &str = "a key of the settings, long enough";

fn address(text: &str) -> Address {
    Address::new(text)
}

fn sender(id: &str) -> SenderId {
    id.parse().unwrap()
}

fn of_channel(text: &str) -> Suppress {
    Suppress {
        sender: None,
        address: address(text),
        reason: Reason::InvalidAddress,
        source: SuppressionSource::Provider,
        after: 1,
        notice: ConsentNotice::received(Instant::now()),
    }
}

fn manual(text: &str) -> Suppress {
    Suppress { reason: Reason::Manual, source: SuppressionSource::Operator, ..of_channel(text) }
}

async fn reason_of(store: &Store, who: &str, text: &str) -> Option<Reason> {
    let address = address(text);
    store.suppressed(&email(), &[(who, &address)]).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_address_is_suppressed_until_it_is_deleted() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.suppressed(&email(), &[]).await.unwrap(), []);
    assert_eq!(store.suppress(&email(), &[]).await.unwrap(), []);
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, None);
    let all = [of_channel("Ann@Example.org"), of_channel("ann@example.org ")];
    assert_eq!(store.suppress(&email(), &all).await.unwrap(), [Suppressed::Added, Suppressed::AlreadyListed]);
    // Another process sees it, only on this channel.
    let other = tool(&server).await;
    assert_eq!(reason_of(&other, "u2", "ANN@example.org").await, Some(Reason::InvalidAddress));
    let ann = address("ann@example.org");
    assert_eq!(other.suppressed(&sms(), &[("u1", &ann)]).await.unwrap(), [None]);

    let found = other.find_suppression(&email(), &ann, None).await.unwrap().unwrap();
    assert_eq!(
        (found.reason, found.source, found.active, found.of_sender),
        (Reason::InvalidAddress, SuppressionSource::Provider, true, false)
    );
    assert!(other.delete_suppression(&email(), &ann, None).await.unwrap());
    assert!(!other.delete_suppression(&email(), &ann, None).await.unwrap());
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, None);
    assert_eq!(store.find_suppression(&email(), &ann, None).await.unwrap(), None);
    // A copy of a named notice changes nothing; a new one counts at once.
    let bounce = Suppress {
        notice: ConsentNotice::named("a1", NoticeMoment::Received(Instant::now())),
        ..of_channel("bob@example.org")
    };
    let tell = async || store.suppress(&email(), std::slice::from_ref(&bounce)).await.unwrap()[0];
    assert_eq!(tell().await, Suppressed::Added);
    assert!(other.delete_suppression(&email(), &bounce.address, None).await.unwrap());
    assert_eq!(tell().await, Suppressed::Repeated);
    let other_bounce =
        Suppress { notice: ConsentNotice::named("a2", NoticeMoment::Unknown), ..bounce.clone() };
    assert_eq!(store.suppress(&email(), &[other_bounce]).await.unwrap(), [Suppressed::Added]);
    assert_eq!(store.suppress(&email(), &[manual("ann@example.org")]).await.unwrap(), [Suppressed::Added]);
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, Some(Reason::Manual));
    assert!(store.delete_suppression_by_id(&email(), found.id).await.unwrap());
    assert!(!store.delete_suppression_by_id(&email(), found.id).await.unwrap());
    assert!(!store.delete_suppression_by_id(&sms(), found.id).await.unwrap());
}

#[tokio::test]
async fn a_senders_list_applies_only_to_that_sender() {
    let server = server();
    let store = tool(&server).await;
    let (u1, ann) = (sender("u1"), address("ann@example.org"));
    let left = Suppress {
        sender: Some(u1.clone()),
        reason: Reason::Unsubscribed,
        source: SuppressionSource::Unsubscribe,
        ..of_channel("ann@example.org")
    };
    store.suppress(&email(), std::slice::from_ref(&left)).await.unwrap();
    let bob = address("bob@example.org");
    let requested = [("u2", &ann), ("u1", &ann), ("u1", &bob)];
    assert_eq!(
        store.suppressed(&email(), &requested).await.unwrap(),
        [None, Some(Reason::Unsubscribed), None]
    );
    assert_eq!(store.find_suppression(&email(), &ann, None).await.unwrap(), None);
    assert!(store.find_suppression(&email(), &ann, Some(&u1)).await.unwrap().unwrap().of_sender);
    // The channel's list takes precedence, and each list is deleted separately.
    store.suppress(&email(), &[of_channel("ann@example.org")]).await.unwrap();
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, Some(Reason::InvalidAddress));
    assert!(store.delete_suppression(&email(), &ann, Some(&u1)).await.unwrap());
    assert_eq!(reason_of(&store, "u2", "ann@example.org").await, Some(Reason::InvalidAddress));
}

#[tokio::test]
async fn an_opt_in_deletes_only_the_persons_own_opt_out() {
    let server = server();
    let store = tool(&server).await;
    let (ann, reasons) = (address("ann@example.org"), [Reason::OptedOut]);
    let stop = |name: &str, said| Suppress {
        reason: Reason::OptedOut,
        source: SuppressionSource::Stop,
        notice: ConsentNotice::named(name, said),
        ..of_channel("ann@example.org")
    };
    let out = async |one: Suppress| store.suppress(&email(), &[one]).await.unwrap()[0];
    let back =
        async |notice: ConsentNotice| store.opt_in(&email(), &ann, None, &reasons, &notice).await.unwrap();
    let first = Instant::now();
    // The address is on no list, and only a remembered notice is kept.
    assert!(!back(ConsentNotice::named("i0", NoticeMoment::Received(first))).await);
    assert_eq!(server.command(&["EXISTS", "consent:{0}:email"]).unwrap().int(), Some(0));
    assert!(!back(ConsentNotice::named("i1", NoticeMoment::Received(Instant::now())).remembered()).await);
    assert_eq!(server.command(&["EXISTS", "consent:{0}:email"]).unwrap().int(), Some(1));
    // Received before the opt-in, stored after it.
    assert_eq!(
        out(stop("o1", NoticeMoment::Received(first - Duration::from_secs(1)))).await,
        Suppressed::Outdated
    );
    assert_eq!(out(stop("o2", NoticeMoment::Unknown)).await, Suppressed::Added);
    assert!(!back(ConsentNotice::named("i2", NoticeMoment::Received(first))).await);
    assert!(!back(ConsentNotice::named("i3", NoticeMoment::Unknown)).await);
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, Some(Reason::OptedOut));
    let before = store.server_time().await.unwrap();
    eventually_async("the next millisecond", async || {
        let now = store.server_time().await.unwrap();
        if now > before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert!(back(ConsentNotice::named("i4", NoticeMoment::Received(Instant::now()))).await);
    assert_eq!(out(stop("o2", NoticeMoment::Unknown)).await, Suppressed::Repeated);
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, None);
    assert_eq!(out(manual("ann@example.org")).await, Suppressed::Added);
    assert!(!back(ConsentNotice::named("i5", NoticeMoment::Received(Instant::now()))).await);
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, Some(Reason::Manual));
}

#[tokio::test]
async fn strikes_are_counted_and_forgiven() {
    let server = server();
    let store = tool(&server).await;
    let strike = Suppress { after: 2, source: SuppressionSource::Bounce, ..of_channel("ann@example.org") };
    let put = async |one: &Suppress| store.suppress(&email(), std::slice::from_ref(one)).await.unwrap()[0];
    assert_eq!((put(&strike).await, put(&strike).await), (Suppressed::Struck, Suppressed::CountedBefore));
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, None);
    let found = store.find_suppression(&email(), &strike.address, None).await.unwrap().unwrap();
    assert_eq!((found.active, found.strikes), (false, 1));
    assert_eq!(put(&Suppress { after: 1, ..strike.clone() }).await, Suppressed::Added);
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, Some(Reason::InvalidAddress));
}

#[tokio::test]
async fn thousands_are_looked_up_and_added_in_one_call() {
    let server = server();
    let store = tool(&server).await;
    let all: Vec<_> = (0..1_200).map(|n| of_channel(&format!("r{n}@example.org"))).collect();
    let put = store.suppress(&email(), &all).await.unwrap();
    assert!(put.len() == 1_200 && put.iter().all(|put| *put == Suppressed::Added));
    let addresses: Vec<_> = (0..2_500).map(|n| address(&format!("r{n}@example.org"))).collect();
    let requested: Vec<_> = addresses.iter().map(|address| ("u1", address)).collect();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let reported = store.suppressed(&email(), &requested).await.unwrap();
    assert_eq!(reported.len(), 2_500);
    assert!(reported[..1_200].iter().all(Option::is_some) && reported[1_200..].iter().all(Option::is_none));
    let stats = server.command(&["INFO", "commandstats"]).unwrap();
    let stats = String::from_utf8_lossy(stats.bytes().unwrap()).into_owned();
    assert!(stats.contains("cmdstat_hmget:calls=3,"), "{stats}");

    // All are listed, page by page.
    let (mut ids, mut cursor, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = store.list_suppressions(&email(), cursor, 100).await.unwrap();
        assert!(page.entries.len() < 200, "{}", page.entries.len());
        ids.extend(page.entries.iter().map(|entry| entry.id));
        pages += 1;
        match page.next {
            None => break,
            // As when it passes through a client.
            next => cursor = next.map(|next| next.to_string().parse().unwrap()),
        }
    }
    assert_eq!((ids.len(), pages > 5), (1_200, true));
    assert!(store.list_suppressions(&sms(), None, 100).await.unwrap().entries.is_empty());
    for bad in ["", "0", "-1", "+1", "1 ", "x", "99999999999999999999"] {
        assert!(bad.parse::<SuppressionCursor>().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_record_of_a_later_version_counts_and_stays() {
    let server = server();
    let store = tool(&server).await;
    store.suppress(&email(), &[of_channel("ann@example.org"), of_channel("bob@example.org")]).await.unwrap();
    let ann = address("ann@example.org");
    let id = store.find_suppression(&email(), &ann, None).await.unwrap().unwrap().id;
    server.command(&[b"HSET", &b"suppressed:{0}:email"[..], id.as_bytes(), b"\x02later"]).unwrap();
    assert_eq!(reason_of(&store, "u1", "ann@example.org").await, Some(Reason::Suppressed));
    let put = store.suppress(&email(), &[manual("ann@example.org")]).await.unwrap();
    assert_eq!(put, [Suppressed::Unreadable]);
    assert!(matches!(store.delete_suppression_by_id(&email(), id).await, Err(CallError::InvalidReply(_))));
    assert_eq!(store.list_suppressions(&email(), None, 10).await.unwrap().entries.len(), 1);
}

async fn with_key(server: &PrivateServer, key: Option<&str>) -> Result<Store, ConnectError> {
    let settings = Settings { address_key: key.map(Into::into), ..settings(&server.url()) };
    Store::connect(settings, Role::Queue).await.map(|(store, _)| store)
}

/// The text of a refused start.
async fn refused(server: &PrivateServer, key: Option<&str>) -> String {
    match with_key(server, key).await {
        Err(ConnectError::Settings { key: "address_key", why }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_process_with_another_key_does_not_start() {
    let server = server();
    assert!(refused(&server, Some("short")).await.contains("32 characters"));
    let store = with_key(&server, Some(KEY)).await.unwrap();
    store.suppress(&email(), &[of_channel("ann@example.org")]).await.unwrap();
    let same = with_key(&server, Some(KEY)).await.unwrap();
    assert_eq!(reason_of(&same, "u1", "ann@example.org").await, Some(Reason::InvalidAddress));
    for printed in [format!("{same:?}"), refused(&server, Some(&KEY.to_uppercase())).await] {
        assert!(!printed.to_lowercase().contains(KEY), "{printed}");
    }
    assert!(refused(&server, None).await.contains("set the same key for this process"));
    assert!(refused(&server, Some(&KEY.to_uppercase())).await.contains("no address on them would be found"));
    // A tool may do without a key, as long as it makes no calls about addresses.
    let tool = tool(&server).await;
    let ann = address("ann@example.org");
    assert!(matches!(tool.suppressed(&email(), &[("u1", &ann)]).await, Err(CallError::InvalidReply(_))));
    assert_eq!(tool.list_suppressions(&email(), None, 10).await.unwrap().entries.len(), 1);
    // The key is nowhere in the database.
    let kept = server.command(&["HGETALL", "address_key:{0}"]).unwrap();
    assert_eq!(kept.items().len(), 4);
    assert!(!format!("{kept:?}").contains("settings"));
}

#[tokio::test]
async fn a_key_of_the_settings_is_accepted_only_with_empty_lists() {
    let server = server();
    let first = with_key(&server, None).await.unwrap();
    // The same key for all processes that start later, also at the same time.
    let (second, third) = tokio::join!(with_key(&server, None), with_key(&server, None));
    first.suppress(&email(), &[of_channel("ann@example.org")]).await.unwrap();
    for store in [&second.unwrap(), &third.unwrap()] {
        assert_eq!(reason_of(store, "u1", "ann@example.org").await, Some(Reason::InvalidAddress));
    }
    let why = refused(&server, Some(KEY)).await;
    assert!(why.contains("no address on them would be found") && why.contains("Remove the setting"), "{why}");
    server.command(&["DEL", "suppressed:{0}:email"]).unwrap();
    let own = with_key(&server, Some(KEY)).await.unwrap();
    own.suppress(&email(), &[of_channel("ann@example.org")]).await.unwrap();
    // A process that still has the old key notices before it writes.
    let reported = first.suppress(&email(), &[of_channel("bob@example.org")]).await;
    assert!(matches!(reported, Err(CallError::Fatal(FatalReason::AddressKey))), "{reported:?}");
    assert_eq!(first.stopped(), Some(FatalReason::AddressKey));
    assert_eq!(own.list_suppressions(&email(), None, 10).await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn a_short_name_leads_to_its_order_for_a_while() {
    let server = server();
    let store = tool(&server).await;
    assert_eq!(store.recall_order("aB_-9").await.unwrap(), None);
    let keep = Duration::from_secs(3601);
    store.remember_order("aB_-9", &order_id(1), keep).await.unwrap();
    store.remember_order("aB_-9", &order_id(2), keep).await.unwrap();
    assert_eq!(store.recall_order("aB_-9").await.unwrap(), Some(order_id(2)));
    let left = int(server.command(&["PTTL", "order-name:{aB_-9}"]).unwrap());
    assert!((1..=3_601_000).contains(&left), "{left}");
    for bad in ["", "a b", "a}b", "é", "a:b", &"a".repeat(65)] {
        assert!(store.recall_order(bad).await.is_err(), "{bad:?}");
        for keep in [keep, Duration::from_secs(60)] {
            assert!(store.remember_order(bad, &order_id(1), keep).await.is_err(), "{bad:?}");
        }
    }
    assert!(keys(&server).iter().filter(|key| key.starts_with("order-name")).count() == 1);
}

#[tokio::test]
async fn thousands_of_names_for_an_hour_need_few_keys() {
    let server = server();
    let store = tool(&server).await;
    let hour = Duration::from_secs(3600);
    let names: Vec<String> = (0..3_000).map(|n| format!("SM{n:032x}")).collect();
    let begun = std::time::Instant::now();
    for (n, name) in names.iter().enumerate() {
        store.remember_order(name, &order_id(n as u64), hour).await.unwrap();
    }
    let kept: Vec<_> = keys(&server).into_iter().filter(|key| key.starts_with("order-name")).collect();
    // A span may end meanwhile.
    assert!(kept.len() <= 2 * 256, "{}", kept.len());
    for key in &kept {
        let left = int(server.command(&["PTTL", key]).unwrap());
        let least = 3_590_000 - i64::try_from(begun.elapsed().as_millis()).unwrap();
        assert!((least..=4_200_000).contains(&left), "{key} {left}");
    }
    for (n, name) in names.iter().enumerate().step_by(100) {
        assert_eq!(store.recall_order(name).await.unwrap(), Some(order_id(n as u64)));
    }
    assert_eq!(store.recall_order("SM").await.unwrap(), None);
    // Another order takes over the name, whatever span it was kept for.
    let name = &names[0];
    let places = posthaste_protocol::PartitionKeys::order_names(name);
    for place in &places {
        server.command(&["HSET", place, name, order_id(0).as_str()]).unwrap();
    }
    store.remember_order(name, &order_id(7), hour).await.unwrap();
    assert_eq!(store.recall_order(name).await.unwrap(), Some(order_id(7)));
    let holding = places.iter().filter(|place| int(server.command(&["HEXISTS", place, name]).unwrap()) == 1);
    assert_eq!(holding.count(), 1);
}

#[tokio::test]
async fn the_address_of_a_delivery_is_found() {
    let server = server();
    let store = tool(&server).await;
    store.accept(&order(order_id(1), 3)).await.unwrap();
    store.accept(&order(order_id(2), 600)).await.unwrap();
    let of = async |order: u64, number: u32, delivery: u16| {
        let parcel_id = ParcelId { order_id: order_id(order), number };
        let found = store.delivery_address(&email(), &parcel_id, delivery).await.unwrap();
        found.map(|address| address.expose().to_owned())
    };
    assert_eq!(of(1, 0, 2).await.as_deref(), Some("r2@example.org"));
    assert_eq!(of(2, 1, 99).await.as_deref(), Some("r599@example.org"));
    for (order, number, delivery) in [(1, 0, 3), (1, 1, 0), (2, 1, 100), (2, 2, 0), (3, 0, 0)] {
        assert_eq!(of(order, number, delivery).await, None, "{order} {number} {delivery}");
    }
    let parcel_id = ParcelId { order_id: order_id(1), number: 0 };
    assert_eq!(store.delivery_address(&sms(), &parcel_id, 0).await.unwrap(), None);
}
