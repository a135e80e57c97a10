//! The database is wiped while couriers work and while one has nothing to do: each says so, ends with a code of its own,
//! and writes nothing into the empty database.

use anyhow::ensure;
use posthaste_tests::{CourierOptions, Scene, Told, left};

#[tokio::test(flavor = "multi_thread")]
async fn database_is_wiped_under_running_couriers() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    scene.tell_all((0..200).map(|_| Told::of(1))).await?;
    scene.tell(&Told::of(5_000)).await?;
    let busy = CourierOptions::default().with("manner", "slow:20");
    let idle = CourierOptions::default().channel("sms");
    let couriers = [scene.courier(&busy)?, scene.courier(&busy)?, scene.courier(&idle)?];
    scene.until("work is under way", |record| record.rows_taken() >= 100).await;
    scene.server.command(&["FLUSHALL"])?;
    for courier in &couriers {
        let status = courier.wait_exit()?;
        ensure!(status.code() == Some(78), "it ended with {status}: {}", courier.tail(20));
        let words = courier.tail(1);
        ensure!(words.starts_with("test-courier: the database is not the one it was"), "it said {words}");
        ensure!(words.contains("Epoch"), "it said {words}");
    }
    let keys = left::keys(&mut scene.server.connect()?)?;
    ensure!(keys.is_empty(), "written to a database that is not theirs: {keys:?}");
    let refused = scene.tell(&Told::of(1)).await.expect_err("nothing is told to another database");
    ensure!(format!("{refused:#}").contains("wiped"), "{refused}");
    scene.check_leaks()
}
