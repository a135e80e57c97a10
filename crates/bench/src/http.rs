//! Orders per second over HTTP: one by one, in batches, one upload of a million recipients; and the cost of open
//! trackers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::try_join_all;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use posthaste_model::{Clock, SystemClock};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::Common;
use crate::figures::{Figures, per_second, quantile};
use crate::service::{Service, Site};

const CONNECTIONS: u64 = 64;
const BATCH: u64 = 1_000;
const TRACKERS: u64 = 5_000;

type Body = BoxBody<Bytes, std::io::Error>;

/// One connection, kept open.
pub(crate) struct Client {
    sender: SendRequest<Body>,
    host: String,
    key: String,
}

impl Client {
    pub(crate) async fn connect(host: &str, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: host.to_owned(), key: key.to_owned() })
    }

    async fn open(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: Body,
    ) -> anyhow::Result<Response<hyper::body::Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", kind)
            .body(body)?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Uploads one order and waits until all its messages are sent; returns the seconds.
    pub(crate) async fn until_sent(&mut self, order: String, messages: u64) -> anyhow::Result<f64> {
        let start = Instant::now();
        let answer = self.call("POST", "/v1/orders", "application/x-ndjson", whole(order)).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let path = format!("/v1/orders/{}", answer["id"].as_str().unwrap_or_default());
        loop {
            let order = self.call("GET", &path, "application/json", whole(String::new())).await?;
            let order: Value = serde_json::from_slice(&order)?;
            if !order["finished_at"].is_null() {
                anyhow::ensure!(order["counts"]["sent"] == messages, "{}", order["counts"]);
                return Ok(start.elapsed().as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: Body,
    ) -> anyhow::Result<Bytes> {
        let response = self.open(method, path, kind, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

pub(crate) fn whole(text: String) -> Body {
    http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

/// This time tomorrow, in RFC 3339.
fn tomorrow() -> String {
    let now = SystemClock.now().after(Duration::from_secs(86_400));
    let ms = i64::try_from(now.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// An order of one recipient, due tomorrow so that no courier is needed.
fn small(n: u64) -> String {
    format!(
        r#"{{"sender":{{"id":"u{:05}"}},"text":"{}","deliver_at":"{}","channels":["email"],"recipients":[{{"id":"r{n}","contacts":{{"email":["r{n}@example.test"]}}}}]}}"#,
        n % 1_000,
        "x".repeat(160),
        tomorrow()
    )
}

/// Measures the queue service.
pub(crate) async fn measure(orders: u64, recipients: u64, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        let site = Site::new(common.server()?)?;
        crate::limits::measure(&site.server, &mut figures)?;
        let unlimited = [
            ("POSTHASTE_RATE__PER_SECOND", "1000000".to_owned()),
            ("POSTHASTE_RATE__BURST", "1000000".to_owned()),
            // One key sends everything here.
            ("POSTHASTE_KEYS__SHARE", "1.0".to_owned()),
        ];
        let (queue, key) = site.queue(&unlimited).await?;
        let host = queue.address("http")?;
        upload(&queue, &host, &key, recipients, &mut figures).await?;
        one_by_one(&queue, &host, &key, orders, &mut figures).await?;
        batches(&queue, &host, &key, orders * 2, &mut figures).await?;
        trackers(&queue, &host, &key, &mut figures).await?;
    }
    figures.print(&format!("HTTP ({})", common.describe()));
    Ok(())
}

async fn one_by_one(
    queue: &Service,
    host: &str,
    key: &str,
    orders: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let (cpu, start) = (queue.cpu_seconds()?, Instant::now());
    let workers = (0..CONNECTIONS).map(|_| {
        let next = Arc::clone(&next);
        async move {
            let mut client = Client::connect(host, key).await?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= orders {
                    return anyhow::Ok(());
                }
                client.call("POST", "/v1/orders", "application/json", whole(small(n))).await?;
            }
        }
    });
    try_join_all(workers).await?;
    let seconds = start.elapsed().as_secs_f64();
    figures.add(
        format!("one by one, {CONNECTIONS} connections: orders per second"),
        per_second(orders, seconds),
    );
    let cpu = (queue.cpu_seconds()? - cpu) * 1e6 / per_second(orders, 1.0);
    figures.add("one by one: queue CPU, µs per order", cpu);
    Ok(())
}

async fn batches(
    queue: &Service,
    host: &str,
    key: &str,
    orders: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let (cpu, start) = (queue.cpu_seconds()?, Instant::now());
    let workers = (0..8).map(|_| {
        let next = Arc::clone(&next);
        async move {
            let mut client = Client::connect(host, key).await?;
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= orders {
                    return anyhow::Ok(());
                }
                let lines: Vec<String> = (from..from + BATCH).map(small).collect();
                let body = whole(lines.join("\n") + "\n");
                let answer = client.call("POST", "/v1/orders/batch", "application/x-ndjson", body).await?;
                let accepted = String::from_utf8_lossy(&answer).matches("\"order\":").count();
                anyhow::ensure!(accepted as u64 == BATCH, "{accepted} of {BATCH} orders of a batch");
            }
        }
    });
    try_join_all(workers).await?;
    let seconds = start.elapsed().as_secs_f64();
    figures.add(format!("batches of {BATCH}, 8 connections: orders per second"), per_second(orders, seconds));
    let cpu = (queue.cpu_seconds()? - cpu) * 1e6 / per_second(orders, 1.0);
    figures.add("batches: queue CPU, µs per order", cpu);
    Ok(())
}

async fn upload(
    queue: &Service,
    host: &str,
    key: &str,
    recipients: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let head = format!(
        r#"{{"sender":{{"id":"u1"}},"text":"hello","deliver_at":"{}","channels":["email"]}}"#,
        tomorrow()
    );
    let first = futures::stream::once(async move { Ok(Frame::data(Bytes::from(format!("{head}\n")))) });
    let rest = futures::stream::iter((0..recipients).step_by(500)).map(move |from| {
        let lines: String = (from..(from + 500).min(recipients))
            .map(|n| format!("{{\"id\":\"r{n}\",\"contacts\":{{\"email\":[\"r{n}@example.test\"]}}}}\n"))
            .collect();
        Ok(Frame::data(Bytes::from(lines)))
    });
    let body = BodyExt::boxed(StreamBody::new(first.chain(rest)));
    let mut client = Client::connect(host, key).await?;
    let start = Instant::now();
    let answer = client.call("POST", "/v1/orders", "application/x-ndjson", body).await?;
    let seconds = start.elapsed().as_secs_f64();
    let answer: Value = serde_json::from_slice(&answer)?;
    let accepted = answer["recipients"]["accepted_count"].as_u64().unwrap_or(0);
    anyhow::ensure!(accepted == recipients, "{answer}");
    figures
        .add(format!("one upload of {recipients}: recipients per second"), per_second(recipients, seconds));
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    figures.add("the upload: queue, peak resident MB", queue.memory()?.0 as f64 / 1e6);
    Ok(())
}

/// Opens many trackers of one order, and measures how long acceptance takes meanwhile.
async fn trackers(queue: &Service, host: &str, key: &str, figures: &mut Figures) -> anyhow::Result<()> {
    let mut client = Client::connect(host, key).await?;
    let answer = client.call("POST", "/v1/orders", "application/json", whole(small(0))).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    figures.add("acceptance, no tracker open: p99 ms", acceptance(&mut client).await?);
    let before = queue.memory()?.1;
    let path = format!("/v1/orders/{id}/events");
    let mut open = Vec::new();
    for _ in 0..TRACKERS {
        let mut tracker = Client::connect(host, key).await?;
        let mut stream = tracker.open("GET", &path, "text/event-stream", whole(String::new())).await?;
        anyhow::ensure!(stream.status().is_success(), "a tracker request failed with {}", stream.status());
        stream.body_mut().frame().await.transpose()?;
        open.push((tracker, stream));
    }
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    figures
        .add(format!("{TRACKERS} open trackers, MB"), queue.memory()?.1.saturating_sub(before) as f64 / 1e6);
    figures.add(format!("acceptance, {TRACKERS} trackers open: p99 ms"), acceptance(&mut client).await?);
    drop(open);
    Ok(())
}

async fn acceptance(client: &mut Client) -> anyhow::Result<f64> {
    let mut micros = Vec::new();
    for n in 0..500 {
        let start = Instant::now();
        client.call("POST", "/v1/orders", "application/json", whole(small(n))).await?;
        micros.push(i64::try_from(start.elapsed().as_micros())?);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    micros.sort_unstable();
    Ok(quantile(&micros, 0.99) / 1_000.0)
}
