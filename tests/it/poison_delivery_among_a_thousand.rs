//! One delivery of a thousand makes the transport panic, or ends the whole process: 999 are delivered, and that one is
//! held as unknown after its one repeat.

use posthaste_model::{OnUnknown, State};
use posthaste_rig::eventually_async;
use posthaste_tests::death::MOST_BEGUN;
use posthaste_tests::{Balance, CourierOptions, OrderSpec, Scene, balance};

fn poisoned() -> OrderSpec {
    OrderSpec { poison: Some((537, "venom")), ..OrderSpec::of(1_000).on_unknown(OnUnknown::Retry) }
}

fn check(balance: &Balance) {
    assert_eq!(balance.count(State::Sent), 999, "{balance:#?}");
    assert_eq!(balance.count(State::Unknown), 1, "{balance:#?}");
    assert_eq!(balance.reasons.get("retry_unconfirmed"), Some(&1), "{balance:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_delivery_makes_the_transport_panic() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    scene.accept(&poisoned()).await?;
    let options =
        CourierOptions::default().with("misbehaviour", "panics:venom").with("send-window-ms", 1_000);
    let courier = scene.courier(&options)?;
    let balance = scene.settle_up().await?;
    check(&balance);
    assert_eq!((balance.duplicates, balance.repeated), (0, 1));
    assert_eq!(courier.exit_status()?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_delivery_ends_the_process() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    scene.accept(&poisoned()).await?;
    let options = CourierOptions::default()
        .with("misbehaviour", "aborts:venom")
        .with("send-window-ms", 1_000)
        .with("lease-ms", 1_200);
    let mut courier = scene.courier(&options)?;
    let mut deaths = 0;
    eventually_async("all has ended, with a new courier started whenever one died", async || {
        if courier.exit_status().map_err(|error| error.to_string())?.is_some() {
            deaths += 1;
            courier = scene.courier(&options).map_err(|error| error.to_string())?;
        }
        balance::all_ended(&scene).await
    })
    .await;
    let balance = scene.settle_up().await?;
    check(&balance);
    assert_eq!(deaths, 2);
    // What was on the wire beside it at the first death was sent again; the second time there was nothing.
    assert!(balance.duplicates <= MOST_BEGUN && balance.repeated <= MOST_BEGUN, "{balance:#?}");
    Ok(())
}
