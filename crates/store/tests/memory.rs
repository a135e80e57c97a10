//! One order of a million recipients streams in with little memory. A program of its own, so that nothing else grows.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use posthaste_model::{Address, Channel, Content, Lane, OnUnknown, Row, Text};
use posthaste_rig::PrivateServer;
use posthaste_rig::servers::Fsync;
use posthaste_store::{NewOrderHead, Role, Settings, Store};

const ROWS: u32 = 1_000_000;
const MOST_GROWTH: u64 = 64 << 20;

fn resident() -> u64 {
    let status = procfs::process::Process::myself().and_then(|me| me.status()).unwrap();
    status.vmrss.unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_recipients_grow_the_process_by_less_than_64_megabytes() {
    let server = PrivateServer::builder().fsync(Fsync::Off).start().unwrap();
    let settings = Settings { url: server.url().into(), ..Settings::default() };
    let (store, _) = Store::connect(settings, Role::Tool).await.unwrap();
    let email: Channel = "email".parse().unwrap();
    let mut writer = store
        .open_order(NewOrderHead {
            suffix: "u1:1".parse().unwrap(),
            due: None,
            lane: Lane::Bulk,
            on_unknown: OnUnknown::Default,
            not_after: None,
            span: Duration::from_secs(72 * 3600),
            content: Content { text: Text::new("Hello"), ..Content::default() },
        })
        .unwrap();
    let (before, mut most) = (resident(), 0);
    for index in 0..ROWS {
        let row = Row {
            index,
            recipient: format!("recipient-{index}"),
            name: format!("Recipient {index}"),
            address: Address::new(format!("recipient-{index}@example.org")),
        };
        writer.push(&email, row).await.unwrap();
        if index % 10_000 == 0 {
            most = most.max(resident());
        }
    }
    let accepted = writer.finish([7; 12], &[]).await.unwrap();
    most = most.max(resident());
    assert_eq!(accepted.channels[0].rows, ROWS);
    assert!(most - before < MOST_GROWTH, "grew by {} MB", (most - before) >> 20);
    println!("grew by {} MB", (most - before) >> 20);

    // It is rung 500 parcels a call, as far as there are any.
    let mut rung = Vec::new();
    while rung.iter().sum::<u64>() < u64::from(ROWS / 500) {
        rung.push(store.ring(0).await.unwrap().reply.parcels);
        assert!(rung.len() < 1_000, "{rung:?}");
    }
    assert!(rung.iter().all(|parcels| *parcels <= 500), "{rung:?}");
}
