//! A courier's health and metrics: the metrics are exactly the documented ones and identify nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::rejected_callbacks::RejectedCallbacks;
use posthaste_courier::{
    AttemptId, Capabilities, DeliveryReceipt, Outcome, ReceiptResult, ReceiptStatus, Settings,
    UnknownHandling,
};
use posthaste_model::{Priority, Reason};
use posthaste_ops::health::{Check, Health};
use posthaste_ops::metrics::{Metrics, catalogue};
use tokio::time::Instant;

use super::house::{Doomed, HANGS, House, Order, brisk, short_lease};
use super::script::{Answer, Script};

/// The metrics of every courier, by the catalogue.
fn documented() -> BTreeSet<&'static str> {
    let group = catalogue::GROUPS.iter().find(|group| group.title == "Couriers").expect("couriers");
    group.metrics.iter().map(|metric| metric.name).collect()
}

/// The labels of a series with their values.
type Series = BTreeMap<String, String>;

/// Kinds and series by name, as rendered, without the metrics of the process.
fn rendered(text: &str) -> BTreeMap<String, (String, Vec<Series>)> {
    let mut rendered: BTreeMap<String, (String, Vec<Series>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            if name.starts_with("posthaste_") {
                rendered.entry(name.to_owned()).or_default().0 = kind.to_owned();
            }
        } else if line.starts_with("posthaste_")
            && let Some((series, _)) = line.rsplit_once(' ')
        {
            let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
            let name =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let (_, known) = rendered.get_mut(name).expect("a series after its type");
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            let labels = labels.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()));
            known.push(labels.filter(|(key, _)| key != "le").collect());
        }
    }
    rendered
}

/// Metrics of failures that these tests do not cause.
const NOT_MET: &[&str] = &[
    "posthaste_attempt_reports_after_lease_total",
    "posthaste_parcels_poisoned_total",
    "posthaste_orders_purged_total",
    "posthaste_records_parked_total",
    "posthaste_newer_records_total",
];

#[tokio::test]
async fn exactly_the_documented_metrics_are_exported_and_identify_nobody() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let capabilities = Capabilities {
        on_unknown: UnknownHandling::RetryOnce,
        send_window: HANGS,
        ..Capabilities::default()
    };
    let script = Script::new(capabilities.clone(), |seen| {
        Answer::Say(match (seen.index, seen.before) {
            (1, 0) => Outcome::Unknown(Reason::TimedOut),
            (2, _) => Outcome::Failed(Reason::Provider(1_200).into()),
            (4, _) => Outcome::HardRefusal(Reason::Blocked.into()),
            (3, 0) => Outcome::Stop("a credential nobody may read".to_owned()),
            _ => Outcome::Sent,
        })
    });
    let swept = house.deliveries(1).await;
    let hanging = Script::new(capabilities, |_| Answer::Hang);
    let doomed = Doomed::start(&house, hanging, short_lease()).await;
    house.eventually(&swept, posthaste_model::State::Sending, 1).await;
    doomed.crash();
    // A parcel missing from its index, and an index member without an order: for the courier whose metrics are
    // checked.
    let lost = eventually_async("a parcel the dying courier did not take", async || {
        let lost = house.deliveries(1).await;
        match house.command(&["ZREM", "ready:{0}:email:bulk", &format!("{lost}:0")]).int() {
            Some(1) => Ok(lost),
            _ => Err(format!("{lost} was taken")),
        }
    })
    .await;
    house.command(&["ZADD", "leased:{0}:email", "1", "u9:1:0"]);

    let courier =
        house.courier(Arc::clone(&script), Settings { hearing_every: Duration::from_millis(50), ..brisk() });
    let courier = courier.await;
    let urgent = house.tell(&Order { deliveries: 5, priority: Priority::Urgent, ..Order::default() }).await;
    let big = house.deliveries(90).await;
    let cancelled = house
        .tell(&Order { deliveries: 90, due_in: Some(Duration::from_secs(3_600)), ..Order::default() })
        .await;
    house.store.cancel(0, &cancelled).await.unwrap();
    for order in [&lost, &swept, &urgent, &big, &cancelled] {
        house.ended(order).await;
    }

    let attempt = house.outcomes(&big).await[0].attempt;
    let receipt = DeliveryReceipt {
        attempt: AttemptId { order_id: big.clone(), parcel: 0, delivery: 0, attempt },
        word: ReceiptStatus::Delivered,
        reason: Reason::None.into(),
        suppress_after: None,
    };
    assert_eq!(script.feedback().await.receipt(&receipt).await.unwrap(), ReceiptResult::Changed);

    RejectedCallbacks::new(&"email".parse().unwrap(), "callbacks of strangers").add(Instant::now());

    let mut expected = documented();
    assert!(expected.len() > 15, "{expected:?}");
    expected.retain(|name| !NOT_MET.contains(name) && *name != "posthaste_begins_rejected_total");
    eventually_async("all documented metrics", async || {
        let text = metrics.render();
        let reported = rendered(&text);
        let missing: Vec<&&str> = expected.iter().filter(|name| !reported.contains_key(**name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing {missing:?}")) }
    })
    .await;
    let text = metrics.render();
    for (name, (kind, series)) in rendered(&text) {
        let Some(metric) = catalogue::find(&name) else { panic!("{name} is not documented") };
        assert_eq!(metric.kind.as_str(), kind, "{name}");
        assert!(text.contains(&format!("# HELP {name} {}\n", metric.help_text())), "{text}");
        let keys: BTreeSet<&str> = metric.labels.iter().map(|label| label.key).collect();
        for labels in series {
            assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), keys, "{name}");
            for (key, value) in &labels {
                let label = metric.label(key).expect("a documented label");
                assert!(label.values.allows(value), "{name}: {key}={value}");
            }
        }
    }
    for line in text.lines().filter(|line| line.starts_with("posthaste_")) {
        for word in ["@", "r1", "u1", "Order", "credential", "example"] {
            assert!(!line.contains(word), "{line}");
        }
    }
    courier.stopped().await;
}

#[tokio::test]
async fn health_follows_progress() {
    let mut house = House::open().await;
    let health = Health::new();
    let claims = Check::progress("claims", Duration::from_millis(700));
    health.watch(&claims, Instant::now());
    let script = Script::accepting(Capabilities::default());
    let courier = house.courier_watched(script, brisk(), Arc::new(()), Some(claims)).await;
    let ready = async |wanted: bool, what: &str| {
        eventually_async(what, async || match health.report(Instant::now()).ready {
            ready if ready == wanted => Ok(()),
            ready => Err(ready),
        })
        .await;
    };
    ready(true, "an idle courier makes progress").await;
    house.server.freeze().unwrap();
    ready(false, "no progress without a server").await;
    house.server.thaw().unwrap();
    ready(true, "progress again").await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    courier.stopped().await;
    ready(false, "no progress after the end").await;
    house.server.stop().unwrap();
}

/// A paused channel is not stuck: it claims, promotes due orders, and reports how much is waiting and for how long.
#[tokio::test]
async fn a_paused_channel_is_healthy_and_reports_its_queue() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let house = House::open().await;
    let health = Health::new();
    let claims = Check::progress("claims", Duration::from_millis(700));
    health.watch(&claims, Instant::now());
    let wait = Duration::from_secs(3_600);
    let script = Script::new(Capabilities::default(), move |_| {
        Answer::Say(Outcome::Throttled { scope: posthaste_courier::ThrottleScope::Channel, wait })
    });
    let courier = house.courier_watched(script, brisk(), Arc::new(()), Some(claims)).await;
    house.deliveries(1).await;
    eventually_async("a channel that waits", async || {
        house.deliveries(1).await;
        let waiting =
            super::pace::value(&metrics, "posthaste_ready_parcels{channel=\"email\"}").unwrap_or(0.0);
        let overdue = super::pace::value(&metrics, "posthaste_oldest_overdue_seconds{channel=\"email\"}");
        match overdue {
            Some(1.0..) if waiting > 3.0 => Ok(()),
            _ => Err(format!("{waiting} waiting, {overdue:?} overdue")),
        }
    })
    .await;
    eventually_async("a courier that is ready", async || match health.report(Instant::now()) {
        report if report.ready => Ok(()),
        report => Err(format!("{report:?}")),
    })
    .await;
    courier.stopped().await;
}
