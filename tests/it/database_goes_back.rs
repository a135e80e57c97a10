//! The database comes back without its last changes, as from an older copy: its couriers begin nothing more, tell again what
//! they had reported last, say so, and stay so over restarts until somebody decides; then they go on by themselves, and what
//! is taken for sent is never sent again.

use std::path::Path;

use anyhow::ensure;
use posthaste_model::State;
use posthaste_rig::eventually_async;
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{Accepted, Assume, Role, Settings, StopWhy, Store};
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

async fn rows(store: &Store, order: &Accepted, state: State) -> anyhow::Result<Option<u32>> {
    let found = store.load_order(store.partition_of(&order.suffix), &order.suffix).await?;
    Ok(found.map(|order| order.counters[0].1[state]))
}

fn says_halt(line: &str) -> bool {
    line.contains("the database went back by about") && line.contains("posthaste recover")
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
    let doubtful = scene.tell(&Told::of(3).due_in(1_500)).await?;
    // The copy knows that the first ones were begun, and not what became of them; of the others it knows that they wait.
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
    courier.wait_line("the courier says so", says_halt)?;
    let idle = scene.start_courier(&CourierOptions::default().channel("sms"))?;
    idle.wait_line("one that starts now says so, too", says_halt)?;
    scene.check_leaks()?;

    // What had been reported lately is told again.
    let settings = Settings { url: SecretString::from(scene.server.url()), ..Settings::default() };
    let (inspector, _) = Store::connect(settings, Role::Inspector).await?;
    eventually_async("the reports are there", async || match rows(&inspector, &first, State::Sent).await {
        Ok(Some(10)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    ensure!(rows(&inspector, &lost, State::Sent).await?.is_none(), "it was told after the copy");
    ensure!(rows(&inspector, &doubtful, State::Pending).await? == Some(3), "it was begun after the copy");
    eventually_async("the scene's own store has noticed", async || match scene.store.stopped() {
        Some(StopWhy::Halted(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    ensure!(courier.exit_status()?.is_none() && idle.exit_status()?.is_none(), "they stay");

    eventually_async("what is lost is written down", async || {
        match scene.server.command(&["ZCARD", "lost:{0}"]).map(|count| count.int()) {
            Ok(Some(1)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut doubts = Vec::new();
    let recovery = inspector.recover(Assume::Sent, None, |found| doubts.push(found)).await?;
    ensure!(recovery.lost.iter().any(|(order, _)| *order == lost.suffix), "{recovery:?}");
    ensure!(doubts.iter().all(|found| found.order == doubtful.suffix), "{doubts:?}");
    ensure!(doubts.iter().map(|found| found.rows).sum::<u32>() == 3, "{doubts:?}");

    // All go on by themselves.
    let next = eventually_async("it is accepted again", async || {
        scene.tell(&Told::of(3)).await.map_err(|error| error.to_string())
    })
    .await;
    eventually_async("what is told now is sent", async || {
        match rows(&scene.store, &next, State::Sent).await {
            Ok(Some(3)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    ensure!(rows(&scene.store, &doubtful, State::Unknown).await? == Some(3), "they are told as unknown");
    let record = scene.record()?;
    let twice: Vec<_> = record.taken.iter().filter(|(_, taken)| taken.len() > 1).collect();
    ensure!(twice.is_empty(), "sent twice: {twice:?}");
    ensure!(record.rows_taken() == 10 + 3 + 1 + 3, "{}", record.rows_taken());
    Ok(())
}
