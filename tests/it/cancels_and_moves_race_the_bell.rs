//! Orders are cancelled and moved while they fall due and are claimed, by many clients at once: each answer was true,
//! no cancelled delivery is sent, none is early, and the sums are right.

use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{Clock, State, SystemClock, UnixMs};
use posthaste_rig::eventually_async;
use posthaste_store::{AcceptedOrder, Cancelled, Rescheduled, Store};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

const ORDERS: u64 = 360;
const AT_ONCE: u64 = 120;

/// The requests for one order, and their answers.
#[derive(Debug, Default, Clone, Copy)]
struct RequestResults {
    cancelled: Option<(u64, u64)>,
    moved: Option<UnixMs>,
}

async fn moment(at: u64) {
    eventually_async(
        "the moment comes",
        async || {
            if SystemClock.now().0 >= at { Ok(()) } else { Err("not yet") }
        },
    )
    .await;
}

async fn cancel(store: &Store, order: &AcceptedOrder, requested: &mut RequestResults) -> anyhow::Result<()> {
    let p = store.partition_of(&order.order_id);
    match store.cancel(p, &order.order_id).await?.reply {
        Cancelled::Ok { stopped, too_late, .. } => requested.cancelled = Some((stopped, too_late)),
        Cancelled::Finished => {}
        other => anyhow::bail!("cancelling answered {other:?}"),
    }
    Ok(())
}

async fn shift(
    store: &Store,
    order: &AcceptedOrder,
    by: i64,
    requested: &mut RequestResults,
) -> anyhow::Result<()> {
    let p = store.partition_of(&order.order_id);
    let due = UnixMs(order.due.0.saturating_add_signed(by));
    let read = store.load_order(p, &order.order_id).await?.map_or(0, |view| view.revision);
    match store.reschedule(p, &order.order_id, due, None, read).await?.reply {
        Rescheduled::Ok { due, .. } => requested.moved = Some(due),
        Rescheduled::Started
        | Rescheduled::Finished
        | Rescheduled::Cancelled
        | Rescheduled::Changed { .. } => {}
        other => anyhow::bail!("moving answered {other:?}"),
    }
    Ok(())
}

/// One of six things happens to each order, within some ms of its due time.
async fn trouble(store: &Store, n: u64, order: &AcceptedOrder) -> anyhow::Result<RequestResults> {
    let mut requested = RequestResults::default();
    let around = (order.due.0 + n % 13).saturating_sub(6);
    match n % 6 {
        0 => {
            moment(around).await;
            cancel(store, order, &mut requested).await?;
        }
        1 => {
            moment(around).await;
            shift(store, order, 300, &mut requested).await?;
        }
        2 => {
            moment(around.saturating_sub(200)).await;
            shift(store, order, -150, &mut requested).await?;
        }
        3 => {
            moment(around).await;
            shift(store, order, 100, &mut requested).await?;
            cancel(store, order, &mut requested).await?;
        }
        4 => {
            moment(around + 20).await;
            cancel(store, order, &mut requested).await?;
            cancel(store, order, &mut requested).await?;
        }
        _ => {}
    }
    Ok(requested)
}

async fn accepted_and_disturbed(
    scene: &Scene,
    n: u64,
    reported: OrderSpec,
) -> anyhow::Result<(AcceptedOrder, RequestResults)> {
    let order = scene.store.accept(&scene.order(&reported)?).await?;
    let requested = trouble(&scene.store, n, &order).await?;
    Ok((order, requested))
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_and_moves_race_the_bell() -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let options = CourierOptions::default().with("misbehaviour", "slow:4");
    let _couriers = [scene.courier(&options)?, scene.courier(&options)?];
    // Of one delivery, of some, and every twelfth of two parcels.
    let deliveries = |n: u64| if n.is_multiple_of(12) { 530 } else { 1 + u32::try_from(n % 5).unwrap_or(0) };
    // A few at a time, each with its disturbance: if all were accepted first, the earliest would be due by then on a
    // slow machine.
    let (accepted, requested): (Vec<AcceptedOrder>, Vec<RequestResults>) = stream::iter(0..ORDERS)
        .map(|n| {
            Box::pin(accepted_and_disturbed(
                &scene,
                n,
                OrderSpec::of(deliveries(n)).due_in(700 + n % AT_ONCE * 4),
            ))
        })
        .buffered(usize::try_from(AT_ONCE)?)
        .try_collect::<Vec<_>>()
        .await?
        .into_iter()
        .unzip();
    scene.accepted = accepted;
    let (store, orders) = (&scene.store, &scene.accepted);
    let balance = scene.settle_up().await?;

    let (mut stopped_in_all, mut moved_in_all) = (0, 0);
    for (order, requested) in orders.iter().zip(requested) {
        let p = store.partition_of(&order.order_id);
        let found = store.load_order(p, &order.order_id).await?.expect("it has a history");
        let counters = found.counters[0].1;
        if let Some((stopped, too_late)) = requested.cancelled {
            let reported = (u64::from(counters[State::Cancelled]), u64::from(counters[State::Sent]));
            assert_eq!(reported, (stopped, too_late), "{} {requested:?}", order.order_id);
            stopped_in_all += stopped;
        } else {
            assert_eq!(counters[State::Cancelled], 0, "{} {requested:?}", order.order_id);
        }
        // The checker has verified that nothing left before the due time in the history.
        assert_eq!(found.head.due, requested.moved.unwrap_or(order.due), "{} {requested:?}", order.order_id);
        moved_in_all += u64::from(requested.moved.is_some());
    }
    assert_eq!(balance.count(State::Cancelled), stopped_in_all);
    assert_eq!(balance.count(State::Sent) + stopped_in_all, balance.all());
    assert_eq!((balance.duplicates, balance.repeated), (0, 0));
    assert!(stopped_in_all > 0 && moved_in_all > 0, "{stopped_in_all} stopped, {moved_in_all} moved");
    Ok(())
}
