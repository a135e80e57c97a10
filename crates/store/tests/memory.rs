//! One order of a million recipients is streamed in with little memory. A separate program, so that nothing else
//! grows.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use posthaste_model::{Address, Channel, Content, Delivery, OnUnknown, Priority, Text};
use posthaste_rig::PrivateServer;
use posthaste_rig::servers::Fsync;
use posthaste_store::{NewOrderHead, Role, Settings, Store};

const DELIVERIES: u32 = 1_000_000;
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
            order_id: "u1:1".parse().unwrap(),
            due: None,
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Default,
            not_after: None,
            span: Duration::from_secs(72 * 3600),
            content: Content { text: Text::new("Hello"), ..Content::default() },
        })
        .unwrap();
    let (before, mut most) = (resident(), 0);
    for index in 0..DELIVERIES {
        let delivery = Delivery {
            index,
            recipient: format!("recipient-{index}"),
            name: format!("Recipient {index}"),
            address: Address::new(format!("recipient-{index}@example.org")),
        };
        writer.push(&email, delivery).await.unwrap();
        if index % 10_000 == 0 {
            most = most.max(resident());
        }
    }
    let accepted = writer.finish([7; 12], &[]).await.unwrap();
    most = most.max(resident());
    assert_eq!(accepted.channels[0].deliveries, DELIVERIES);
    assert!(most - before < MOST_GROWTH, "grew by {} MB", (most - before) >> 20);
    println!("grew by {} MB", (most - before) >> 20);

    // At most 500 parcels are promoted per call.
    let mut promoted = Vec::new();
    while promoted.iter().sum::<u64>() < u64::from(DELIVERIES / 500) {
        promoted.push(store.promote_due(0).await.unwrap().reply.parcels);
        assert!(promoted.len() < 1_000, "{promoted:?}");
    }
    assert!(promoted.iter().all(|parcels| *parcels <= 500), "{promoted:?}");
}
