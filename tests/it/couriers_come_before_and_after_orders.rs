//! Orders wait for couriers and couriers for orders, in either sequence. A channel that was never served loses nothing
//! either: its deliveries expire when the order does, by the housekeeping of another channel's courier.

use std::time::Duration;

use posthaste_model::{Priority, State};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn couriers_come_before_and_after_orders() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let both = OrderSpec { deliveries: vec![("email", 3), ("sms", 600)], ..OrderSpec::default() };
    let _email = scene.courier(&CourierOptions::default())?;
    let accepted = scene.accept(&both).await?;
    let seen: Vec<bool> = accepted.channels.iter().map(|channel| channel.courier_seen.is_some()).collect();
    assert_eq!(seen, [true, false]);
    scene
        .accept_all([
            both.clone().due_in(300),
            OrderSpec { deliveries: vec![("sms", 1)], ..OrderSpec::default() },
        ])
        .await?;
    scene.until("everything that can be sent is sent", |record| record.deliveries_taken() == 6).await;
    let _sms = scene.courier(&CourierOptions::default().channel("sms"))?;
    scene.accept_all([both.clone(), both.due_in(200)]).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.all(), 4 * 603 + 1);
    balance.all_sent_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_channel_without_courier_expire() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    // Before there is any courier at all: of one channel or of two, small and big, in both priorities, and for later.
    let reported = |deliveries: &[(&'static str, u32)], priority, ms| {
        let span = Duration::from_millis(ms);
        OrderSpec { deliveries: deliveries.to_vec(), priority, span, ..OrderSpec::default() }
    };
    scene
        .accept_all([
            reported(&[("vk", 1)], Priority::Bulk, 1_500),
            reported(&[("vk", 1_100)], Priority::Urgent, 1_500),
        ])
        .await?;
    // These have deliveries that must not expire before their courier starts.
    scene.accept_all([reported(&[("email", 2), ("vk", 2)], Priority::Bulk, 8_000)]).await?;
    let _email = scene.courier(&CourierOptions::default())?;
    scene.accept_all([reported(&[("vk", 4), ("email", 4)], Priority::Urgent, 8_000).due_in(400)]).await?;
    let balance = scene.settle_up().await?;
    assert_eq!(balance.count(State::Sent), 6);
    assert_eq!(balance.count(State::Expired), 1 + 1_100 + 2 + 4);
    assert_eq!(balance.reasons.get("expired"), Some(&1_107));
    Ok(())
}
