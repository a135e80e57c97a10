//! The database is not there yet, full, read-only or unable to write: the process reports it without being asked, in
//! plain words, in the log, in /readyz, in metrics and in responses, and continues once it works again.

use std::net::SocketAddr;

use posthaste_rig::{PrivateServer, Sig, eventually_async};
use serde_json::Value;

use super::client::{Answer, ask, get};
use super::process::{Process, key};
use super::{run, server};

const JSON: (&str, &str) = ("POSTHASTE_LOG__FORMAT", "json");
const ORDER: &str =
    r#"{"sender":{"id":"u1"},"recipients":[{"id":"r","contacts":{"email":["a@example.org"]}}],"text":"x"}"#;

/// The log lines that are events with this name.
fn events(service: &Process, event: &str) -> Vec<Value> {
    let lines = service.child.lines().expect("the log");
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    lines.iter().map(|line| read(&line.text)).filter(|line| line["event"] == event).collect()
}

/// Waits for an event in a phase.
async fn reported(service: &Process, event: &str, phase: &str) -> Value {
    eventually_async(&format!("{event} {phase}"), async || {
        let found = events(service, event).into_iter().find(|line| line["phase"] == phase);
        found.ok_or_else(|| service.child.tail(10))
    })
    .await
}

/// Waits until the admin port responds with this status on a path.
async fn becomes(admin: SocketAddr, path: &'static str, status: u16) -> Answer {
    eventually_async(path, async || {
        let answer = get(path).send(admin).await;
        if answer.status == status { Ok(answer) } else { Err(answer.text()) }
    })
    .await
}

/// The address of the admin port of a process that is not ready yet.
fn admin_of(service: &Process) -> SocketAddr {
    let line =
        service.child.wait_line("the admin port", |line| line.contains("admin port open")).expect("a line");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    line["address"].as_str().expect("an address").parse().expect("an address")
}

fn why(answer: &Answer) -> String {
    let reported = answer.json();
    let checks = reported["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "store").expect("the store");
    check["why"].as_str().expect("why").to_owned()
}

fn set(server: &PrivateServer, name: &str, value: &str) {
    let reply = server.command(&["CONFIG", "SET", name, value]).expect("an answer");
    assert!(reply.error().is_none(), "{reply:?}");
}

pub(super) fn it_waits_for_its_database() {
    run(async {
        let mut redis = server();
        redis.kill9().expect("killed");
        let service = Process::start(&redis, &[JSON]);
        let admin = admin_of(&service);
        let began = reported(&service, "redis.away", "began").await;
        let node = redis.socket().display().to_string();
        assert_eq!(
            (began["node"].as_str(), began["level"].as_str()),
            (Some(&*node), Some("WARN")),
            "{began}"
        );
        assert_eq!(events(&service, "redis.waiting_at_start").len(), 1);
        let unready = becomes(admin, "/readyz", 503).await;
        assert!(
            why(&unready).contains("cannot be reached (no such socket)")
                || why(&unready).contains("connection refused"),
            "{}",
            why(&unready)
        );
        assert_eq!(get("/livez").send(admin).await.status, 200, "a restart would not help");
        assert_eq!(get("/metrics").send(admin).await.status, 200);
        redis.restart().expect("restarted");
        let (_, same) = service.ready().await;
        assert_eq!(same, admin);
        becomes(admin, "/readyz", 200).await;
        reported(&service, "redis.away", "ended").await;
        assert_eq!(events(&service, "redis.away").len(), 2);
    });
}

pub(super) fn a_signal_ends_the_wait() {
    run(async {
        let mut redis = server();
        redis.kill9().expect("killed");
        let service = Process::start(&redis, &[JSON]);
        reported(&service, "redis.away", "began").await;
        service.child.signal(Sig::Term).expect("signalled");
        let status = service.child.wait_exit().expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", service.child.tail(5));
    });
}

pub(super) fn what_keeps_it_from_storing_is_reported_everywhere() {
    run(async {
        let redis = server();
        let service = Process::start(&redis, &[JSON]);
        let (address, admin) = service.ready().await;
        let key = key(&redis).await;
        becomes(admin, "/readyz", 200).await;
        let quiet = becomes(admin, "/metrics", 200).await.text();
        assert!(quiet.contains("posthaste_redis_state{state=\"memory_full\",node=\""), "{quiet}");
        assert!(!gauges(&quiet).iter().any(|line| line.ends_with(" 1")), "{quiet}");
        for (state, name, bad, good, code, wait, words, event) in [
            (
                "memory_full",
                "maxmemory",
                "1",
                "4gb",
                "storage_full",
                "5",
                "has no memory left",
                "redis.memory_full",
            ),
            (
                "no_replicas",
                "min-replicas-to-write",
                "1",
                "0",
                "storage_unavailable",
                "5",
                "has too few replicas",
                "redis.no_replicas",
            ),
        ] {
            set(&redis, name, bad);
            // No request is made: the process checks by itself.
            let unready = becomes(admin, "/readyz", 503).await;
            assert!(why(&unready).contains(words), "{}", why(&unready));
            let began = reported(&service, event, "began").await;
            assert!(began["message"].as_str().is_some_and(|text| text.contains(words)), "{began}");
            let reported_by = gauges(&becomes(admin, "/metrics", 200).await.text());
            let this = format!("posthaste_redis_state{{state=\"{state}\"");
            assert!(
                reported_by.iter().any(|line| line.starts_with(&this) && line.ends_with(" 1")),
                "{reported_by:?}"
            );

            let refused = ask("POST", "/v1/orders").key(&key).json(ORDER).send(address).await;
            assert_eq!((refused.status, refused.problem().as_str()), (503, code), "{refused:?}");
            assert_eq!(refused.header("retry-after").as_deref(), Some(wait));
            let problem = refused.json();
            // Which of the two the order meets first depends on half a second.
            let reason = problem["reason"].as_str().expect("a reason");
            assert!(reason == state || (state, reason) == ("memory_full", "memory_nearly_full"), "{problem}");
            assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Retry later")), "{problem}");
            let trace = problem["trace_id"].as_str().expect("a trace id").to_owned();
            let failed = eventually_async("the line of the request", async || {
                let found = events(&service, "request.failed")
                    .into_iter()
                    .find(|line| line["trace_id"] == trace.as_str());
                found.ok_or_else(|| service.child.tail(10))
            })
            .await;
            assert_eq!(failed["level"], "WARN", "{failed}");
            for (field, value) in [("method", "POST"), ("route", "/v1/orders"), ("code", code)] {
                assert_eq!(failed[field], value, "{failed}");
            }
            assert_eq!(failed["status"], 503, "{failed}");

            set(&redis, name, good);
            becomes(admin, "/readyz", 200).await;
            reported(&service, event, "ended").await;
        }
        let made = ask("POST", "/v1/orders").key(&key).json(ORDER).send(address).await;
        assert_eq!(made.status, 200, "{made:?}");
        let wrong = ask("GET", "/v1/orders/u1.1").send(address).await;
        let trace = wrong.json()["trace_id"].as_str().expect("a trace id").to_owned();
        let refused = eventually_async("the line of a refused request", async || {
            let found = events(&service, "request.refused")
                .into_iter()
                .find(|line| line["trace_id"] == trace.as_str());
            found.ok_or_else(|| service.child.tail(10))
        })
        .await;
        assert_eq!(
            (refused["code"].as_str(), refused["level"].as_str()),
            (Some("unauthorized"), Some("INFO")),
            "{refused}"
        );
        assert_eq!(refused["route"], "/v1/orders/{id}", "the route, not what the client wrote: {refused}");
    });
}

/// The gauges of states.
fn gauges(metrics: &str) -> Vec<String> {
    metrics.lines().filter(|line| line.starts_with("posthaste_redis_state{")).map(str::to_owned).collect()
}
