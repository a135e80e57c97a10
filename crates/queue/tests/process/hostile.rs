//! Hostile bodies sent to a real process: small requests and the admin port are still answered.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{Ask, ask, get};
use crate::process::{Process, key};

/// What a small request may take beside hostile bodies: the slowest of a hundred.
const SOON: Duration = Duration::from_millis(50);
/// Minimum number of small requests measured, without and beside hostile bodies.
const MEASURED: usize = 100;

/// 10,000 recipients with mobile phone numbers of all countries in turn: at least 409 KB.
fn hostile() -> String {
    let lines =
        include_str!("../data/phone_examples.csv").lines().map(|line| line.split(';').collect::<Vec<_>>());
    let mobile = lines.filter(|words| words.get(1) == Some(&"mobile") && words[0] != "001");
    let numbers = mobile.map(|words| words[2]).cycle();
    let recipients: Vec<Value> = numbers
        .take(10_000)
        .enumerate()
        .map(|(n, number)| json!({"id": format!("r{n}"), "contacts": {"sms": [number]}}))
        .collect();
    json!({"sender": {"id": "u1"}, "text": "Hello", "recipients": recipients}).to_string()
}

async fn timed(requested: Ask<'_>, address: SocketAddr) -> Duration {
    let begun = Instant::now();
    let answer = requested.send(address).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    begun.elapsed()
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Two keys send two hostile bodies each at the same time; a third makes small requests, and the admin port is queried.
#[expect(clippy::print_stdout, reason = "the figures of a test, shown when it is run with --nocapture")]
pub(crate) fn bodies_hold_nobody_up() {
    super::run(async {
        let redis = super::server();
        let service = Process::start(&redis, &[("POSTHASTE_ORDERS__PHONE_COUNTRIES", "*")]);
        let (address, admin) = service.ready().await;
        let (mine, one) = (key(&redis).await, key(&redis).await);
        let body = hostile();
        assert!(body.len() > 409_000, "{}", body.len());
        let small = || timed(get("/v1/orders?limit=1").key(&mine), address);
        let live = || timed(get("/livez"), admin);
        let (mut quiet, mut beside, mut lives) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..MEASURED {
            quiet.push(small().await.max(live().await));
        }
        let (begun, mut bodies) = (Instant::now(), 0);
        while beside.len() < MEASURED {
            bodies += 4;
            let judged = futures::future::join_all([&one, &mine, &one, &mine].map(|key| {
                let requested = ask("POST", "/v1/orders?dry_run=true").key(key).json(&body);
                async move { requested.send(address).await }
            }));
            tokio::pin!(judged);
            let answers = loop {
                tokio::select! {
                    answers = &mut judged => break answers,
                    (small, live) = async { (small().await, live().await) } => {
                        beside.push(small);
                        lives.push(live);
                    }
                }
            };
            for answer in answers {
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(answer.json()["recipients"]["accepted_count"], 10_000);
            }
        }
        let took = begun.elapsed() / bodies;
        let (quiet, beside, lives) = (p99(&mut quiet), p99(&mut beside), p99(&mut lives));
        println!(
            "p99 quiet {quiet:?}, beside hostile bodies {beside:?}, /livez {lives:?}; {took:?} per body"
        );
        // A busy machine is slow even without hostile bodies.
        let most = SOON.max(quiet * 5);
        assert!(beside < most && lives < most, "p99 {beside:?}, /livez {lives:?}, {quiet:?} in quiet");
    });
}
