//! A private server with stores, and the orders of these tests.

use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, CourierId, Delivery, OnUnknown, OrderId, Priority, Text, UnixMs,
};
use posthaste_rig::servers::Builder;
use posthaste_rig::{PrivateServer, RespReply};
use posthaste_store::{
    CallError, ClaimReply, ClaimRequest, ClaimedParcels, NewOrder, NewOrderHead, Role, Settings, Store,
};

pub(crate) const SPAN: Duration = Duration::from_secs(72 * 3600);

pub(crate) fn settings(url: &str) -> Settings {
    Settings { url: url.to_owned().into(), ..Settings::default() }
}

/// A server with a memory limit, so that preflight has no findings.
pub(crate) fn builder() -> Builder {
    PrivateServer::builder().max_memory(4 << 30)
}

pub(crate) fn server() -> PrivateServer {
    builder().start().unwrap()
}

pub(crate) async fn tool(server: &PrivateServer) -> Store {
    Store::connect(settings(&server.url()), Role::Tool).await.unwrap().0
}

pub(crate) fn email() -> Channel {
    "email".parse().unwrap()
}

pub(crate) fn sms() -> Channel {
    "sms".parse().unwrap()
}

pub(crate) fn courier_id() -> CourierId {
    "c1".parse().unwrap()
}

pub(crate) fn order_id(n: u64) -> OrderId {
    format!("u1:{n}").parse().unwrap()
}

pub(crate) fn delivery(index: u32) -> Delivery {
    Delivery {
        index,
        recipient: format!("r{index}"),
        name: format!("Recipient {index}"),
        address: Address::new(format!("r{index}@example.org")),
    }
}

pub(crate) fn head(order_id: OrderId) -> NewOrderHead {
    NewOrderHead {
        order_id,
        due: None,
        priority: Priority::Urgent,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: SPAN,
        content: Content { text: Text::new("Hello"), ..Content::default() },
    }
}

/// An order of this many deliveries by e-mail.
pub(crate) fn order(order_id: OrderId, deliveries: u32) -> NewOrder {
    NewOrder {
        head: head(order_id),
        digest: [7; 12],
        deliveries: (0..deliveries).map(|index| (email(), delivery(index))).collect(),
        no_contact: Vec::new(),
    }
}

pub(crate) async fn claim(
    store: &Store,
    number: u64,
    begin: u32,
) -> Result<(ClaimedParcels, u64), CallError> {
    let (channel, courier) = (email(), courier_id());
    let ask = ClaimRequest {
        channel: &channel,
        courier: &courier,
        number,
        lease: Duration::from_secs(60),
        limit: 50,
        bulk_limit: 50,
        begin,
        send_window: Duration::from_secs(60),
        empty_handed: false,
    };
    let answer = store.claim(0, &ask).await?;
    match answer.reply {
        ClaimReply::Claimed(taken) => Ok((taken, answer.fence)),
        ClaimReply::Outdated => panic!("an old number"),
    }
}

/// All keys of the server, sorted.
pub(crate) fn keys(server: &PrivateServer) -> Vec<String> {
    let reply = server.command(&["KEYS", "*"]).unwrap();
    let mut keys: Vec<String> =
        reply.items().iter().filter_map(|key| key.text().map(str::to_owned)).collect();
    keys.sort();
    keys
}

pub(crate) fn int(reply: RespReply) -> i64 {
    reply.int().unwrap_or_else(|| panic!("not a number: {reply:?}"))
}

pub(crate) fn in_an_hour(now: UnixMs) -> UnixMs {
    now.after(Duration::from_secs(3600))
}

/// Waits for a condition while the other tasks of the test go on.
pub(crate) async fn eventually<T, E: std::fmt::Display>(
    what: &str,
    mut probe: impl FnMut() -> Result<T, E>,
) -> T {
    posthaste_rig::eventually_async(what, async || probe()).await
}
