//! The database comes back without its last changes, as from an older copy: its courier begins nothing more, tells again
//! what it had reported last, says so, and ends with a code of its own. Whoever decides to live with it goes on.

use std::path::Path;

use anyhow::{Context, ensure};
use posthaste_model::State;
use posthaste_rig::eventually_async;
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{Accepted, Role, Settings, StopWhy, Store};
use posthaste_tests::{CourierOptions, Scene, Told};
use secrecy::SecretString;

const FILES: &str = "appendonlydir";

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

async fn rows_sent(store: &Store, order: &Accepted) -> anyhow::Result<Option<u32>> {
    let found = store.load_order(store.partition_of(&order.suffix), &order.suffix).await?;
    Ok(found.map(|order| order.counters[0].1[State::Sent]))
}

#[tokio::test(flavor = "multi_thread")]
async fn database_goes_back() -> anyhow::Result<()> {
    // The copy is to hold all that was answered.
    let server = PrivateServer::builder().fsync(Fsync::Always).start()?;
    let mut scene = Scene::open_on(server).await?;
    let options = CourierOptions::default().with("manner", "slow:700").with("lease-ms", 20_000);
    let courier = scene.courier(&options)?;
    let first = scene.tell(&Told::of(10)).await?;
    scene.until("all are on the wire", |record| record.leaving.len() == 10).await;
    // The copy knows that they were begun, and not what became of them.
    let (files, kept) = (scene.server.dir().join(FILES), scene.folder().join("kept"));
    copy(&files, &kept)?;
    let lost = scene.tell(&Told::of(1)).await?;
    scene.settle_up().await?.all_sent_once()?;
    // So the scene's own store knows how far it had come.
    scene.store.ring(0).await?;

    scene.server.kill9()?;
    std::fs::remove_dir_all(&files)?;
    copy(&kept, &files)?;
    scene.server.restart()?;
    let status = courier.wait_exit()?;
    ensure!(status.code() == Some(78), "it ended with {status}: {}", courier.tail(20));
    let words = courier.tail(1);
    ensure!(words.contains("the database is not the one it was") && words.contains("RolledBack"), "{words}");
    scene.check_leaks()?;

    // Another process, which knows nothing of what was: the reports were told again.
    let settings = Settings { url: SecretString::from(scene.server.url()), ..Settings::default() };
    let (store, _) = Store::connect(settings, Role::Tool).await?;
    ensure!(rows_sent(&store, &first).await? == Some(10), "the reports of the last seconds were lost");
    ensure!(rows_sent(&store, &lost).await?.is_none(), "it was told after the copy");

    // Whoever knows of it is stopped until somebody decides.
    eventually_async("it is noticed", async || match scene.store.channels(0).await {
        _ if matches!(scene.store.stopped(), Some(StopWhy::RolledBack { .. })) => Ok(()),
        _ => {
            scene.store.ring(0).await.map(drop).map_err(|error| error.to_string()).and(Err("not yet".into()))
        }
    })
    .await;
    scene.store.go_on_after_rollback().await.context("going on")?;
    scene.accepted.retain(|order| order.suffix != lost.suffix);
    let _again = scene.courier(&options)?;
    let next = scene.tell(&Told::of(3)).await?;
    eventually_async("what is told now is sent", async || match rows_sent(&scene.store, &next).await {
        Ok(Some(3)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}
