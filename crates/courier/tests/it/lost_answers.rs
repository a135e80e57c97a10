//! Calls to the server whose request or answer is lost, or of which a copy comes late: every row is still sent exactly once.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::Mutex;

use posthaste_courier::{Abilities, Settings};
use posthaste_model::State;
use posthaste_ops::stop::Stop;
use posthaste_rig::Proxy;
use posthaste_rig::proxy::{Command, LateCopy, Traffic};

use super::house::{House, Running, brisk, start};
use super::script::Script;

type Named = fn(&Command) -> bool;

/// A call is known by the keys it names.
const CALLS: [(&str, Named); 3] = [
    ("claim", |call| call.contains("request:{0}:email") && call.contains("due:{0}:bulk")),
    ("begin", is_begin),
    ("settle", is_settle),
];

fn is_begin(call: &Command) -> bool {
    call.contains("token:{0}:email")
}

/// Release names the same keys; it has no reports, so fewer words.
fn is_settle(call: &Command) -> bool {
    call.contains("crashes:{0}:email")
        && call.contains("lease:{0}:email")
        && !call.contains("parked:{0}")
        && !call.contains("due:{0}")
}

fn behind(house: &House) -> Proxy {
    Proxy::unix(house.server.endpoint(), Traffic::Resp).unwrap()
}

async fn courier(proxy: &Proxy, script: &Arc<Script>) -> Running {
    let settings = Settings { backoff_base: std::time::Duration::from_millis(10), ..brisk() };
    start(&proxy.url(), 1, Arc::clone(script), settings, Arc::new(()), None).await
}

async fn all_sent_once(house: &House, script: &Arc<Script>, what: &str) {
    for rows in [1, 3, 90, 1] {
        let order = house.rows(rows).await;
        house.ended(&order).await;
        let counters = house.counters(&order).await;
        assert_eq!(counters[State::Sent], rows, "{what}: {counters:?}");
    }
    for ((order, row), times) in script.times() {
        assert_eq!(times, 1, "{what}: row {row} of {order}");
    }
}

#[tokio::test]
async fn lost_answers() {
    for (name, named) in CALLS {
        let house = House::open().await;
        let (proxy, script) = (behind(&house), Script::accepting(Abilities::default()));
        let courier = courier(&proxy, &script).await;
        proxy.drop_replies_of(3, named);
        all_sent_once(&house, &script, name).await;
        assert_eq!(proxy.report().dropped_replies, 3, "{name}");
        courier.stopped().await;
    }
}

#[tokio::test]
async fn lost_requests() {
    for (name, named) in CALLS {
        let house = House::open().await;
        let (proxy, script) = (behind(&house), Script::accepting(Abilities::default()));
        let courier = courier(&proxy, &script).await;
        proxy.drop_requests_of(3, named);
        all_sent_once(&house, &script, name).await;
        assert_eq!(proxy.report().dropped_requests, 3, "{name}");
        courier.stopped().await;
    }
}

#[tokio::test]
async fn late_copies() {
    for (name, named) in CALLS {
        let house = House::open().await;
        let (proxy, script) = (behind(&house), Script::accepting(Abilities::default()));
        let courier = courier(&proxy, &script).await;
        for after in [0, 1, 3] {
            proxy.copy_late(LateCopy::of(named).after(after));
        }
        all_sent_once(&house, &script, name).await;
        courier.stopped().await;
    }
}

/// The courier is asked to stop while it does not know whether rows are begun: they were not sent, and are told so.
#[tokio::test]
async fn a_stop_while_a_call_has_no_answer() {
    for (name, named) in CALLS {
        for rows in [1, 90] {
            let house = House::open().await;
            let (proxy, script) = (behind(&house), Script::accepting(Abilities::default()));
            let courier = courier(&proxy, &script).await;
            let order = if name == "claim" { None } else { Some(house.rows(rows).await) };
            let asked: Arc<Mutex<Option<Stop>>> = Arc::new(Mutex::new(Some(courier.stop.clone())));
            proxy.drop_replies_of(1, move |call| {
                let meant = named(call);
                if meant && let Some(stop) = asked.lock().unwrap().take() {
                    stop.soft.cancel();
                }
                meant
            });
            let order = match order {
                Some(order) => order,
                None => house.rows(rows).await,
            };
            // With orders of one row there is no begin of its own.
            if name == "begin" && rows == 1 {
                house.ended(&order).await;
                courier.stopped().await;
                continue;
            }
            courier.end().await.unwrap();
            assert_eq!(house.size("leased:{0}:email"), 0, "{name}");
            assert_eq!(house.size("unresolved:{0}:email"), 0, "{name}");
            let counters = house.counters(&order).await;
            assert_eq!(counters[State::Pending] + counters[State::Sent], rows, "{name}: {counters:?}");
            let again = self::courier(&proxy, &script).await;
            house.ended(&order).await;
            assert!(script.times().values().all(|times| *times == 1), "{name}");
            again.stopped().await;
        }
    }
}
