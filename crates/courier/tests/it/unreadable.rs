//! Records that can't be read: their parcel is left alone for a while, and stands in nobody's way.

use std::sync::Arc;

use posthaste_courier::Abilities;
use posthaste_model::State;

use super::house::{House, brisk, eventually_async};
use super::script::Script;

#[tokio::test]
async fn a_parcel_without_its_rows_is_left_alone() {
    let house = House::open().await;
    let bad = house.rows(90).await;
    assert_eq!(house.command(&["DEL", &format!("parcel:{{0}}:{bad}:email:0")]).int(), Some(1));
    let script = Script::accepting(Abilities::default());
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let good = house.rows(90).await;
    house.ended(&good).await;
    let soon = house.store.server_time().await.expect("the time").0 + 30_000;
    eventually_async("the parcel waits", async || {
        let reply = house.command(&["ZSCORE", "ready:{0}:email:bulk", &format!("{bad}:0")]);
        match reply.text().and_then(|score| score.parse::<u64>().ok()) {
            Some(ready) if ready > soon => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let counters = house.counters(&bad).await;
    assert_eq!(counters[State::Pending], 90, "none of it is lost");
    assert_eq!(house.size("leased:{0}:email"), 0);
    courier.stopped().await;
}
