//! A database that is not the one it was: the courier sends nothing more, ends by itself, and says so.

use std::sync::Arc;

use posthaste_courier::{Abilities, Outcome, RunError};
use tokio::sync::Semaphore;

use super::house::{House, brisk};
use super::script::{Answer, Script};

#[tokio::test]
async fn a_wiped_database_ends_the_courier_with_rows_on_the_wire() {
    let house = House::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let abilities = Abilities { concurrency: 2, max_concurrency: 2, ..Abilities::default() };
    let script = Script::new(abilities, move |_| Answer::After(Arc::clone(&waits), Outcome::Accepted));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    house.rows(90).await;
    house.rows(1).await;
    script.eventually(2).await;
    house.command(&["FLUSHALL"]);
    gate.add_permits(100);
    let error = courier.end().await.expect_err("it does not go on");
    assert!(matches!(error, RunError::Engine(_)), "{error}");
    assert_eq!(script.seen().len(), 2);
    assert_eq!(house.command(&["DBSIZE"]).int(), Some(0), "nothing is written to another database");
}

#[tokio::test]
async fn a_wiped_database_ends_an_idle_courier() {
    let house = House::open().await;
    let courier = house.courier(Script::accepting(Abilities::default()), brisk()).await;
    let order = house.rows(1).await;
    house.ended(&order).await;
    house.command(&["FLUSHALL"]);
    courier.end().await.expect_err("it does not go on");
}
