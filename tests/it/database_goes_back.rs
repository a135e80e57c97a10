//! The database comes back without its last changes, as from an older copy: its couriers begin nothing more, repeat
//! the outcomes they reported last, report the halt, and stay halted over restarts until an operator decides. Then
//! they continue by themselves, and what is assumed sent is never sent again.

use std::path::Path;

use anyhow::ensure;
use posthaste_model::State;
use posthaste_rig::eventually_async;
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{AcceptedOrder, Assume, FatalReason, Role, Settings, Store};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};
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

async fn deliveries(store: &Store, order: &AcceptedOrder, state: State) -> anyhow::Result<Option<u32>> {
    let found = store.load_order(store.partition_of(&order.order_id), &order.order_id).await?;
    Ok(found.map(|order| order.counters[0].1[state]))
}

fn says_halt(line: &str) -> bool {
    line.contains("the database went back by about") && line.contains("posthaste recover")
}

#[tokio::test(flavor = "multi_thread")]
async fn database_goes_back() -> anyhow::Result<()> {
    // The copy must hold everything that was answered.
    let server = PrivateServer::builder().fsync(Fsync::Always).start()?;
    let mut scene = Scene::open_on(server).await?;
    let options = CourierOptions::default().with("misbehaviour", "slow:700").with("lease-ms", 20_000);
    let courier = scene.courier(&options)?;
    let first = scene.accept(&OrderSpec::of(10)).await?;
    scene.until("all are on the wire", |record| record.leaving.len() == 10).await;
    let doubtful = scene.accept(&OrderSpec::of(3).due_in(1_500)).await?;
    // In the copy the first deliveries are begun, without outcomes; the others are waiting.
    let (files, kept) = (scene.server.dir().join(FILES), scene.folder().join("kept"));
    copy(&files, &kept)?;
    let lost = scene.accept(&OrderSpec::of(1)).await?;
    scene.settle_up().await?.all_sent_once()?;
    // So the scene's own store knows the latest mark.
    scene.store.promote_due(0).await?;

    scene.server.kill9()?;
    std::fs::remove_dir_all(&files)?;
    copy(&kept, &files)?;
    scene.server.restart()?;
    courier.wait_line("the courier reports it", says_halt)?;
    let idle = scene.start_courier(&CourierOptions::default().channel("sms"))?;
    idle.wait_line("one that starts now reports it, too", says_halt)?;
    scene.check_leaks()?;

    // Recently reported outcomes are reported again.
    let settings = Settings { url: SecretString::from(scene.server.url()), ..Settings::default() };
    let (inspector, _) = Store::connect(settings, Role::Inspector).await?;
    eventually_async("the reports are there", async || {
        match deliveries(&inspector, &first, State::Sent).await {
            Ok(Some(10)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    ensure!(deliveries(&inspector, &lost, State::Sent).await?.is_none(), "it was accepted after the copy");
    ensure!(
        deliveries(&inspector, &doubtful, State::Pending).await? == Some(3),
        "it was begun after the copy"
    );
    eventually_async("the scene's own store has noticed", async || match scene.store.stopped() {
        Some(FatalReason::Halted(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    ensure!(courier.exit_status()?.is_none() && idle.exit_status()?.is_none(), "they stay");

    eventually_async("what is lost is recorded", async || {
        match scene.server.command(&["ZCARD", "lost:{0}"]).map(|count| count.int()) {
            Ok(Some(1)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut doubts = Vec::new();
    let recovery = inspector.recover(Assume::Sent, None, |found| doubts.push(found)).await?;
    ensure!(recovery.lost.iter().any(|(order, _)| *order == lost.order_id), "{recovery:?}");
    ensure!(doubts.iter().all(|found| found.order == doubtful.order_id), "{doubts:?}");
    ensure!(doubts.iter().map(|found| found.deliveries).sum::<u32>() == 3, "{doubts:?}");

    // All continue by themselves.
    let next = eventually_async("it is accepted again", async || {
        scene.accept(&OrderSpec::of(3)).await.map_err(|error| error.to_string())
    })
    .await;
    eventually_async("new orders are sent", async || {
        match deliveries(&scene.store, &next, State::Sent).await {
            Ok(Some(3)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    ensure!(
        deliveries(&scene.store, &doubtful, State::Unknown).await? == Some(3),
        "they are reported as unknown"
    );
    let record = scene.record()?;
    let twice: Vec<_> = record.taken.iter().filter(|(_, taken)| taken.len() > 1).collect();
    ensure!(twice.is_empty(), "sent twice: {twice:?}");
    ensure!(record.deliveries_taken() == 10 + 3 + 1 + 3, "{}", record.deliveries_taken());
    Ok(())
}
