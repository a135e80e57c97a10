//! A wiped database: the courier sends nothing more and waits for an operator. A replaced database: the courier ends.

use std::sync::Arc;

use posthaste_courier::{Capabilities, Outcome, RunError};
use tokio::sync::Semaphore;

use super::house::{House, brisk, eventually_async};
use super::script::{Answer, Script};

#[tokio::test]
async fn a_wiped_database_stops_the_courier_with_deliveries_on_the_wire() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let capabilities = Capabilities { concurrency: 2, max_concurrency: 2, ..Capabilities::default() };
    let script = Script::new(capabilities, move |_| Answer::After(Arc::clone(&waits), Outcome::Sent));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    house.deliveries(90).await;
    house.deliveries(1).await;
    script.eventually(2).await;
    house.command(&["FLUSHALL"]);
    gate.add_permits(100);
    eventually_async("the halt is stored", async || {
        match house.command(&["EXISTS", "epoch:{0}", "halted:{0}"]).int() {
            Some(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    courier.stopped().await;
    assert_eq!(script.seen().len(), 2);
    for key in house.command(&["KEYS", "*"]).items() {
        let key = key.text().unwrap_or_default();
        assert!(
            ["epoch:{0}", "halted:{0}", "lost:{0}"].contains(&key),
            "{key} is written to a wiped database"
        );
    }
}

#[tokio::test]
async fn a_replaced_database_ends_an_idle_courier() {
    let house = House::open().await;
    let courier = house.courier(Script::accepting(Capabilities::default()), brisk()).await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    house.command(&["SET", "epoch:{0}", "somebody-elses"]);
    let error = courier.end().await.expect_err("the courier ends");
    assert!(matches!(error, RunError::Engine(_)), "{error}");
}
