//! Providers that ask to wait, fail at first, are slow, never answer, or leave the outcome open: each delivery ends
//! once, as its order asks.

use posthaste_model::{OnUnknown, State};
use posthaste_tests::{CourierOptions, OrderSpec, Record, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn provider_asks_the_channel_to_wait() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene.courier(&CourierOptions::default().with("misbehaviour", "throttling:40:50"))?;
    scene.accept_all((0..40).map(|n| OrderSpec::of(1).due_in(n * 10))).await?;
    scene.accept_all([OrderSpec::of(60), OrderSpec::of(8)]).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 108);
    assert_eq!(balance.tries, 0, "waiting for a rate limit costs no try");
    balance.all_sent_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_refuses_each_delivery_once() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene.courier(&CourierOptions::default().with("misbehaviour", "retry-first"))?;
    scene
        .accept_all([
            OrderSpec::of(1),
            OrderSpec::of(3),
            OrderSpec::of(1).due_in(600),
            OrderSpec::of(4).due_in(700),
        ])
        .await?;
    let balance = scene.settle_up().await?;
    assert_eq!((balance.all(), balance.tries), (9, 9));
    balance.all_sent_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_is_slower_than_the_lease() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let options = CourierOptions::default().with("misbehaviour", "slow:1500").with("lease-ms", 1_000);
    let _couriers = [scene.courier(&options)?, scene.courier(&options)?];
    scene.accept_all([OrderSpec::of(70), OrderSpec::of(1), OrderSpec::of(12)]).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 83);
    balance.all_sent_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_never_answers() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let _courier = scene
        .courier(&CourierOptions::default().with("misbehaviour", "hanging").with("send-window-ms", 400))?;
    scene
        .accept_all([OrderSpec::of(1), OrderSpec::of(4)].map(|reported| reported.on_unknown(OnUnknown::Hold)))
        .await?;
    scene.accept(&OrderSpec::of(1).on_unknown(OnUnknown::Retry)).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.count(State::Unknown), 6);
    assert_eq!(
        (balance.reasons.get("not_retried"), balance.reasons.get("retry_unconfirmed")),
        (Some(&5), Some(&1))
    );
    assert_eq!(balance.duplicates, 0, "it took nothing");
    Ok(())
}

/// Every tenth send of this provider is taken and not confirmed.
async fn every_tenth_is_unknown(on_unknown: OnUnknown) -> anyhow::Result<(posthaste_tests::Balance, Record)> {
    let mut scene = Scene::open().await?;
    let options = CourierOptions::default().with("misbehaviour", "unknown:10").with("send-window-ms", 1_000);
    let _courier = scene.courier(&options)?;
    scene.accept_all((0..100).map(|n| OrderSpec::of(1).on_unknown(on_unknown).due_in(n * 3))).await?;
    scene.accept(&OrderSpec::of(700).on_unknown(on_unknown)).await?;
    let balance = scene.settle_up().await?;
    Ok((balance, scene.record()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenth_is_unknown_and_repeated() -> anyhow::Result<()> {
    let (balance, record) = every_tenth_is_unknown(OnUnknown::Retry).await?;
    assert_eq!((balance.all(), record.deliveries_taken()), (800, 800));
    // Repeats may be unknown again, and are then held.
    let held = balance.count(State::Unknown);
    assert_eq!(balance.count(State::Sent), 800 - held);
    // Of each hundred sends, the last one and the first nine: whether they are repeats depends on their order.
    let sends = record.taken.values().map(Vec::len).sum::<usize>() as u64;
    let unknown = (1..=sends).filter(|n| n % 100 < 10).count() as u64;
    assert_eq!((balance.repeated + held, balance.duplicates), (unknown, balance.repeated), "{balance:#?}");
    assert_eq!(balance.reasons.get("retry_unconfirmed").copied().unwrap_or(0), held, "{balance:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenth_is_unknown_and_held() -> anyhow::Result<()> {
    let (balance, record) = every_tenth_is_unknown(OnUnknown::Hold).await?;
    assert_eq!((balance.all(), record.deliveries_taken()), (800, 800));
    assert_eq!((balance.duplicates, balance.repeated), (0, 0));
    assert_eq!((balance.count(State::Sent), balance.count(State::Unknown)), (720, 80), "{balance:#?}");
    Ok(())
}
