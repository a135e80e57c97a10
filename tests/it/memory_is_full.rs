//! The server's memory is full: orders are refused completely, with no key left behind, and couriers continue to
//! drain, also over new connections and after a restart, until orders are accepted again.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use posthaste_rig::eventually_async;
use posthaste_store::{AcceptError, CallError, Retryable};
use posthaste_tests::{CourierOptions, OrderSpec, Scene, left};

fn keys(scene: &Scene) -> anyhow::Result<BTreeSet<String>> {
    left::keys(&mut scene.server.connect()?)
}

async fn refused(scene: &Scene, reported: &OrderSpec) -> anyhow::Result<()> {
    let before = keys(scene)?;
    let order = scene.order(reported)?;
    match scene.store.accept(&order).await {
        Err(AcceptError::Refused(CallError::Retryable {
            why: Retryable::Memory | Retryable::NearlyFull,
        })) => {}
        other => anyhow::bail!("it was not refused for lack of memory: {other:?}"),
    }
    ensure!(keys(scene)? == before, "a refused order left keys behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_full() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let courier = scene.courier(&CourierOptions::default().channel("sms"))?;
    scene.accept_all((0..400).map(|_| OrderSpec::of(1))).await?;
    scene
        .accept_all([
            OrderSpec::of(3_000),
            OrderSpec::of(1).due_in(800),
            OrderSpec { deliveries: vec![("sms", 700)], ..OrderSpec::of(1) },
        ])
        .await?;
    // Far less than is used, so that memory stays full during all of this.
    scene.server.command(&["CONFIG", "SET", "maxmemory", "1"])?;
    scene.until("another channel's order is out", |record| record.deliveries_taken() == 700).await;
    // Nothing changes any more except refused orders: no courier serves the other channel.
    eventually_async("it is settled, and what is to fall due has", async || {
        for (key, command) in [("leased:{0}:sms", "ZCARD"), ("due:{0}:bulk", "EXISTS")] {
            let left = scene.server.command(&[command, key]).map_err(|error| error.to_string())?;
            if left.int() != Some(0) {
                return Err(format!("{key} {left:?}"));
            }
        }
        Ok(())
    })
    .await;
    for deliveries in [1, 40, 1_700, 4] {
        refused(&scene, &OrderSpec::of(deliveries))
            .await
            .with_context(|| format!("an order of {deliveries} deliveries"))?;
    }
    refused(&scene, &OrderSpec::of(2).due_in(60_000)).await?;

    // A courier that starts now works, and one whose connections are closed continues.
    let late = scene.courier(&CourierOptions::default().with("misbehaviour", "slow:5"))?;
    scene.until("it drains", |record| record.deliveries_taken() >= 1_200).await;
    scene.server.command(&["CLIENT", "KILL", "TYPE", "normal"])?;
    let balance = scene.settle_up().await?;
    ensure!(balance.all() == 400 + 3_000 + 1 + 700);
    balance.all_sent_once()?;
    ensure!(courier.exit_status()?.is_none() && late.exit_status()?.is_none());

    scene.server.command(&["CONFIG", "SET", "maxmemory", "0"])?;
    let order = scene.order(&OrderSpec::of(600))?;
    let accepted =
        eventually_async("orders are accepted again", async || scene.store.accept(&order).await).await;
    scene.accepted.push(accepted);
    scene.settle_up().await?.all_sent_once()
}
