//! Orders for benchmarks: 160 bytes of text, an order id of six characters, one address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use posthaste_model::{Address, Channel, Content, Delivery, OnUnknown, OrderId, Priority, Text, UnixMs};
use posthaste_rig::servers::PrivateServer;
use posthaste_store::{NewOrder, NewOrderHead, Role, Settings, Store};
use secrecy::SecretString;

static NEXT: AtomicU64 = AtomicU64::new(1_800_000_000_000_000_000);

/// Connects to a private server.
pub(crate) async fn connect(server: &PrivateServer) -> anyhow::Result<Store> {
    let settings = Settings { url: SecretString::from(server.url()), ..Settings::default() };
    Ok(Store::connect(settings, Role::Queue).await?.0)
}

pub(crate) fn email() -> anyhow::Result<Channel> {
    Ok("email".parse()?)
}

pub(crate) fn head(due: Option<UnixMs>) -> anyhow::Result<NewOrderHead> {
    let order_id = OrderId::new(&"u00001".parse()?, NEXT.fetch_add(1, Ordering::Relaxed));
    Ok(NewOrderHead {
        order_id,
        due,
        priority: Priority::Bulk,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: Duration::from_secs(72 * 3600),
        content: Content { text: Text::new("x".repeat(160)), ..Content::default() },
    })
}

pub(crate) fn delivery(index: u32) -> Delivery {
    Delivery {
        index,
        recipient: format!("r{index:06}"),
        name: String::new(),
        address: Address::new(format!("u{index:06}@mail.test")),
    }
}

pub(crate) fn single(channel: &Channel, due: Option<UnixMs>) -> anyhow::Result<NewOrder> {
    Ok(NewOrder {
        head: head(due)?,
        digest: [1; 12],
        deliveries: vec![(channel.clone(), delivery(1))],
        no_contact: Vec::new(),
    })
}

/// Sends many orders, a limited number at once; `due` maps each order's number to its due time.
pub(crate) async fn tell_many(
    store: &Store,
    count: u64,
    at_once: usize,
    due: impl Fn(u64) -> Option<UnixMs>,
) -> anyhow::Result<()> {
    let channel = email()?;
    let orders = (0..count).map(|n| single(&channel, due(n)));
    let mut reported = stream::iter(orders)
        .map(|order| async move {
            store.accept(&order?).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(at_once);
    while let Some(result) = reported.next().await {
        result?;
    }
    Ok(())
}

/// Sends one order of many deliveries, streaming.
pub(crate) async fn tell_big(store: &Store, deliveries: u32, due: Option<UnixMs>) -> anyhow::Result<()> {
    let channel = email()?;
    let mut writer = store.open_order(head(due)?)?;
    for index in 0..deliveries {
        writer.push(&channel, delivery(index)).await?;
    }
    writer.finish([2; 12], &[]).await?;
    Ok(())
}
