//! Calls to the server whose request or reply is lost, or of which a late copy arrives: every delivery is still sent
//! exactly once.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::Mutex;

use posthaste_courier::{Capabilities, Settings};
use posthaste_model::State;
use posthaste_ops::shutdown::Shutdown;
use posthaste_rig::Proxy;
use posthaste_rig::proxy::{LateCopy, ProxiedCommand, Traffic};

use super::house::{House, Running, brisk, start};
use super::script::Script;

type Named = fn(&ProxiedCommand) -> bool;

/// A call is identified by the keys it names.
const CALLS: [(&str, Named); 3] = [
    ("claim", |call| call.contains("request:{0}:email") && call.contains("due:{0}:bulk")),
    ("begin", is_begin),
    ("settle", is_settle),
];

fn is_begin(call: &ProxiedCommand) -> bool {
    call.contains("token:{0}:email")
}

/// Release names the same keys, but it carries no reports.
fn is_settle(call: &ProxiedCommand) -> bool {
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
    for deliveries in [1, 3, 90, 1] {
        let order = house.deliveries(deliveries).await;
        house.ended(&order).await;
        let counters = house.counters(&order).await;
        assert_eq!(counters[State::Sent], deliveries, "{what}: {counters:?}");
    }
    for ((order, delivery), times) in script.times() {
        assert_eq!(times, 1, "{what}: delivery {delivery} of {order}");
    }
}

#[tokio::test]
async fn lost_answers() {
    for (name, named) in CALLS {
        let house = House::open().await;
        let (proxy, script) = (behind(&house), Script::accepting(Capabilities::default()));
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
        let (proxy, script) = (behind(&house), Script::accepting(Capabilities::default()));
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
        let (proxy, script) = (behind(&house), Script::accepting(Capabilities::default()));
        let courier = courier(&proxy, &script).await;
        for after in [0, 1, 3] {
            proxy.copy_late(LateCopy::of(named).after(after));
        }
        all_sent_once(&house, &script, name).await;
        courier.stopped().await;
    }
}

/// A stop is requested while the courier does not know whether deliveries are begun: they were not sent, and are
/// settled as not sent.
#[tokio::test]
async fn a_stop_while_a_call_has_no_answer() {
    for (name, named) in CALLS {
        for deliveries in [1, 90] {
            let house = House::open().await;
            let (proxy, script) = (behind(&house), Script::accepting(Capabilities::default()));
            let courier = courier(&proxy, &script).await;
            let order = if name == "claim" { None } else { Some(house.deliveries(deliveries).await) };
            let requested: Arc<Mutex<Option<Shutdown>>> = Arc::new(Mutex::new(Some(courier.stop.clone())));
            proxy.drop_replies_of(1, move |call| {
                let meant = named(call);
                if meant && let Some(stop) = requested.lock().unwrap().take() {
                    stop.soft.cancel();
                }
                meant
            });
            let order = match order {
                Some(order) => order,
                None => house.deliveries(deliveries).await,
            };
            // For orders of one delivery, the claim itself begins; there is no begin call.
            if name == "begin" && deliveries == 1 {
                house.ended(&order).await;
                courier.stopped().await;
                continue;
            }
            courier.end().await.unwrap();
            assert_eq!(house.size("leased:{0}:email"), 0, "{name}");
            assert_eq!(house.size("unresolved:{0}:email"), 0, "{name}");
            let counters = house.counters(&order).await;
            assert_eq!(counters[State::Pending] + counters[State::Sent], deliveries, "{name}: {counters:?}");
            let again = self::courier(&proxy, &script).await;
            house.ended(&order).await;
            assert!(script.times().values().all(|times| *times == 1), "{name}");
            again.stopped().await;
        }
    }
}
