//! The server is killed and comes back, three times, while two couriers work: they continue, and as its file held
//! everything it had confirmed, nothing is lost, in doubt, or sent twice.

use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn server_is_killed_under_load() -> anyhow::Result<()> {
    let server = PrivateServer::builder().fsync(Fsync::Always).start()?;
    let mut scene = Scene::open_on(server).await?;
    scene.accept_all((0..300).map(|_| OrderSpec::of(1))).await?;
    scene.accept(&OrderSpec::of(1_200)).await?;
    let options = CourierOptions::default()
        .with("misbehaviour", "slow:10")
        .with("concurrency", 8)
        .with("lease-ms", 20_000);
    let couriers = [scene.courier(&options)?, scene.courier(&options)?];
    for deliveries in [100, 400, 700] {
        scene.until("work goes on", |record| record.deliveries_taken() >= deliveries).await;
        scene.server.kill9()?;
        scene.server.restart()?;
    }
    let balance = scene.settle_up().await?;
    for courier in couriers {
        assert_eq!(courier.exit_status()?, None, "{}", courier.tail(20));
    }
    assert_eq!(balance.all(), 1_500);
    balance.all_sent_once()
}
