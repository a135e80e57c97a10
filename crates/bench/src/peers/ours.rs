//! Posthaste as it is used: the queue over HTTP, and the SMS courier with the plain gateway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use posthaste_model::{Address, Channel, Delivery, UnixMs};
use posthaste_store::NewOrder;
use serde_json::{Value, json};

use super::AT_ONCE;
use super::nginx::address;
use super::stage::Stage;
use super::system::Jobs;
use crate::http::{Client, whole};
use crate::orders::{connect, head};
use crate::service::Service;

/// Orders of a batch, and connections over which batches are sent.
const BATCH: u64 = 1_000;
const CONNECTIONS: u64 = 8;
/// Orders at a time through the store, without HTTP.
const IN_FLIGHT: usize = 512;

/// The queue service and a key for it.
pub(super) struct Queue {
    service: Service,
    key: String,
}

impl Queue {
    pub(super) async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let unlimited = [
            ("POSTHASTE_RATE__PER_SECOND", "1000000".to_owned()),
            ("POSTHASTE_RATE__BURST", "1000000".to_owned()),
            // One key sends everything here.
            ("POSTHASTE_KEYS__SHARE", "1.0".to_owned()),
        ];
        let (service, key) = stage.site.queue(&unlimited).await?;
        Ok(Self { service, key })
    }

    pub(super) fn id(&self) -> u32 {
        self.service.id()
    }

    async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.service.address("http")?, &self.key).await
    }

    /// Orders of one recipient, in batches; returns the seconds.
    pub(super) async fn enqueue(&self, jobs: Jobs) -> anyhow::Result<f64> {
        let next = AtomicU64::new(0);
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(self.client().await?);
        }
        let start = Instant::now();
        try_join_all(clients.into_iter().map(|client| batches(client, &next, jobs))).await?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// One order to all; returns the seconds.
    pub(super) async fn upload(&self, jobs: Jobs) -> anyhow::Result<f64> {
        let mut client = self.client().await?;
        let mut head = json!({"sender": {"id": "u1"}, "text": text(), "channels": ["sms"]});
        if let Some(due) = jobs.due {
            head["deliver_at"] = time(due.first).into();
        }
        let mut body = head.to_string() + "\n";
        for index in 0..jobs.count {
            body += &(recipient(index, jobs).to_string() + "\n");
        }
        let start = Instant::now();
        let answer = client.call("POST", "/v1/orders", "application/x-ndjson", whole(body)).await?;
        let seconds = start.elapsed().as_secs_f64();
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(answer["recipients"]["accepted_count"] == jobs.count, "not all were accepted: {answer}");
        Ok(seconds)
    }
}

/// Takes batch after batch until none is left.
async fn batches(mut client: Client, next: &AtomicU64, jobs: Jobs) -> anyhow::Result<()> {
    loop {
        let from = next.fetch_add(BATCH, Ordering::Relaxed);
        if from >= jobs.count {
            return Ok(());
        }
        let until = (from + BATCH).min(jobs.count);
        let body: String = (from..until).map(|index| single(index, jobs).to_string() + "\n").collect();
        let answer = client.call("POST", "/v1/orders/batch", "application/x-ndjson", whole(body)).await?;
        let accepted = String::from_utf8_lossy(&answer).matches("\"order\":").count() as u64;
        ensure!(accepted == until - from, "{accepted} of {} orders of a batch were accepted", until - from);
    }
}

/// The SMS courier, on the same URL with the same body as the others.
pub(super) async fn courier(stage: &Stage) -> anyhow::Result<Service> {
    let env = [
        ("POSTHASTE_SMS__PROVIDER", "gateway".to_owned()),
        ("POSTHASTE_SMS__CONCURRENCY", AT_ONCE.to_string()),
        ("POSTHASTE_SMS__MAX_CONCURRENCY", AT_ONCE.to_string()),
        ("POSTHASTE_GATEWAY__URL", stage.nginx.url() + "?to={to_digits}"),
        ("POSTHASTE_GATEWAY__FORMAT", "form".to_owned()),
        ("POSTHASTE_GATEWAY__BODY", "to={to}&text={text}".to_owned()),
    ];
    stage.site.start("courier", &["courier", "sms"], &env).await
}

fn text() -> String {
    "x".repeat(160)
}

fn recipient(index: u64, jobs: Jobs) -> Value {
    let n = jobs.from + index;
    json!({"id": format!("r{n}"), "contacts": {"sms": [address(n)]}})
}

fn single(index: u64, jobs: Jobs) -> Value {
    let mut order = json!({
        "sender": {"id": format!("u{:05}", index % 1_000)},
        "text": text(),
        "channels": ["sms"],
        "recipients": [recipient(index, jobs)],
    });
    if let Some(due) = jobs.due_of(index) {
        order["deliver_at"] = time(due).into();
    }
    order
}

/// In RFC 3339.
fn time(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Orders of one through the store, without HTTP, as a program in Rust may do it; returns the seconds.
pub(super) async fn through_the_store(stage: &Stage, jobs: Jobs) -> anyhow::Result<f64> {
    let store = connect(&stage.site.server).await?;
    let channel: Channel = "sms".parse().context("a channel")?;
    let start = Instant::now();
    let mut accepted = stream::iter(0..jobs.count)
        .map(|index| {
            let order = order(&channel, index, jobs);
            let store = &store;
            async move { anyhow::Ok(store.accept(&order?).await.map(|_| ())?) }
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some(result) = accepted.next().await {
        result?;
    }
    drop(accepted);
    let seconds = start.elapsed().as_secs_f64();
    store.disconnect().await;
    Ok(seconds)
}

fn order(channel: &Channel, index: u64, jobs: Jobs) -> anyhow::Result<NewOrder> {
    let n = jobs.from + index;
    let delivery = Delivery {
        index: 1,
        recipient: format!("r{n}"),
        name: String::new(),
        address: Address::new(address(n)),
    };
    Ok(NewOrder {
        head: head(jobs.due_of(index).map(UnixMs))?,
        digest: [1; 12],
        deliveries: vec![(channel.clone(), delivery)],
        no_contact: Vec::new(),
    })
}
