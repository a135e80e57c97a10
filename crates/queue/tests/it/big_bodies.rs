//! Bodies that take long to check block no other request.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{ask, get};
use crate::intake::lines;
use crate::service::Service;

/// What a small request may take beside large ones: the slowest of a hundred.
const SOON: Duration = Duration::from_millis(50);
/// Minimum number of small requests measured.
const LEAST: usize = 30;

/// This many recipients, with numbers of all countries in turn.
fn recipients(count: usize) -> impl Iterator<Item = Value> {
    let lines = include_str!("../data/phone_examples.csv").lines().filter(|line| !line.starts_with('#'));
    let costly = |line: &&str| {
        let mut cells = line.split(';');
        let (region, kind) = (cells.next().expect("a region"), cells.next().expect("a kind"));
        region == "001" || ["premium_rate", "shared_cost"].contains(&kind)
    };
    let lines: Vec<&str> = lines.filter(|line| !costly(line)).collect();
    let numbers = lines.into_iter().map(|line| line.split(';').nth(2).expect("a number"));
    let numbers: Vec<&str> = numbers.collect();
    numbers
        .into_iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(n, number)| json!({"id": format!("r{n}"), "contacts": {"sms": [number]}}))
}

async fn small(service: &Service, key: &str) -> Duration {
    let start = Instant::now();
    let answer = service.ask(get("/v1/orders?limit=1").key(key)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    start.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

// One worker for everything: a check on it would block all other requests.
#[tokio::test]
async fn small_requests_are_answered_while_large_ones_are_checked() {
    let service = Service::with(&[("orders.phone_countries", "*")]).await;
    let key = service.master().await;
    let order = json!({"sender": {"id": "u1"}, "text": "Hello"});
    let mut whole = order.clone();
    whole["recipients"] = recipients(10_000).collect::<Vec<_>>().into();
    let whole = whole.to_string();
    let upload = lines(&order, recipients(10_000));
    let mut quiet = Vec::new();
    for _ in 0..100 {
        quiet.push(small(&service, &key).await);
    }
    let as_json = ask("POST", "/v1/orders?dry_run=true").key(&key).json(&whole);
    let as_lines = || {
        let lines = ask("POST", "/v1/orders?dry_run=true").key(&key);
        lines.header("content-type", "application/x-ndjson").body(&upload)
    };
    let big = async {
        let both = futures::future::join_all([as_json.clone(), as_json, as_lines(), as_lines()].map(|ask| {
            let address = service.address;
            async move { ask.send(address).await }
        }));
        both.await
    };
    tokio::pin!(big);
    let mut beside = Vec::new();
    let answers = loop {
        tokio::select! {
            answers = &mut big => break answers,
            took = small(&service, &key) => beside.push(took),
        }
    };
    for answer in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["recipients"]["accepted_count"], 10_000);
    }
    assert!(beside.len() >= LEAST, "{} small requests beside the large ones", beside.len());
    // A busy machine is slow even without large requests.
    let (quiet, beside) = (p99(quiet), p99(beside));
    assert!(beside < SOON.max(quiet * 5), "p99 {beside:?} beside large requests, {quiet:?} without");
}
