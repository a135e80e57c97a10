//! Unknown outcomes: settled at once, and resolved after their send window as order and channel specify.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Capabilities, LookupResult, Outcome, UnknownHandling};
use posthaste_model::{OnUnknown, OutcomeKind, Reason, State};
use tokio::time::Instant;

use super::house::{House, Order, brisk};
use super::script::{Answer, Script};

const WINDOW: Duration = Duration::from_millis(300);

fn capabilities(on_unknown: UnknownHandling, looks_up: bool) -> Capabilities {
    Capabilities { on_unknown, looks_up, send_window: WINDOW, ..Capabilities::default() }
}

/// Returns unknown for the first `times` attempts, then sent.
fn unknown_first(capabilities: Capabilities, times: usize) -> Arc<Script> {
    Script::new(capabilities, move |seen| {
        Answer::Say(if seen.before < times {
            Outcome::Unknown(Reason::ConnectionLost)
        } else {
            Outcome::Sent
        })
    })
}

#[tokio::test]
async fn order_and_channel_decide() {
    let house = House::open().await;
    let cases = [
        (UnknownHandling::Hold, OnUnknown::Default, 1, State::Unknown, Reason::NotRetried, 1),
        (UnknownHandling::RetryOnce, OnUnknown::Default, 1, State::Sent, Reason::None, 2),
        (UnknownHandling::RetryOnce, OnUnknown::Hold, 1, State::Unknown, Reason::NotRetried, 1),
        (UnknownHandling::Hold, OnUnknown::Retry, 1, State::Sent, Reason::None, 2),
        (UnknownHandling::Hold, OnUnknown::Retry, 9, State::Unknown, Reason::RetryUnconfirmed, 2),
    ];
    for (channel, order, unknown, state, reason, sends) in cases {
        let script = unknown_first(capabilities(channel, false), unknown);
        let courier = house.courier(Arc::clone(&script), brisk()).await;
        let reported = Instant::now();
        let order_id = house.tell(&Order { on_unknown: order, ..Order::default() }).await;
        house.ended(&order_id).await;
        let outcome = house.outcome(&order_id).await;
        assert_eq!((outcome.state, outcome.reason), (state, reason), "{channel:?} {order:?} {unknown}");
        let seen = script.seen();
        assert_eq!(seen.len(), sends);
        if let [first, second] = &seen[..] {
            assert!(second.at >= reported + WINDOW, "not before its send_by");
            assert!(second.repeat && !first.repeat);
        }
        courier.stopped().await;
    }
}

/// The provider may have accepted the first attempt; rejecting the second says nothing about it.
#[tokio::test]
async fn a_rejected_repeat_leaves_its_delivery_unknown() {
    let house = House::open().await;
    let refusals = [
        Outcome::Failed(Reason::Rejected.into()),
        Outcome::HardRefusal(Reason::Blocked.into()),
        Outcome::Strike { reason: Reason::InvalidAddress.into(), of: 3 },
    ];
    for refusal in refusals {
        let answer = refusal.clone();
        let script = Script::new(capabilities(UnknownHandling::RetryOnce, false), move |seen| {
            Answer::Say(if seen.before == 0 { Outcome::Unknown(Reason::TimedOut) } else { answer.clone() })
        });
        let courier = house.courier(Arc::clone(&script), brisk()).await;
        let order = house.deliveries(1).await;
        house.ended(&order).await;
        let outcome = house.outcome(&order).await;
        assert_eq!((outcome.state, outcome.reason), (State::Unknown, Reason::NotRetried), "{refusal:?}");
        assert_eq!(script.seen().len(), 2, "{refusal:?}");
        courier.stopped().await;
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_unknown_at_its_deadline() {
    let house = House::open().await;
    let script = Script::new(capabilities(UnknownHandling::Hold, false), |_| Answer::Hang);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order_id = house.deliveries(1).await;
    house.ended(&order_id).await;
    assert_eq!(house.outcome(&order_id).await.state, State::Unknown);
    assert_eq!(script.on_wire(), 0, "the call was dropped");
    courier.stopped().await;
}

#[tokio::test]
async fn what_the_provider_knows_decides() {
    let house = House::open().await;
    let cases = [
        (LookupResult::Known(OutcomeKind::Delivered, Reason::None.into()), State::Delivered, Reason::None, 1),
        (LookupResult::Known(OutcomeKind::Sent, Reason::None.into()), State::Sent, Reason::None, 1),
        (
            LookupResult::Known(OutcomeKind::Failed, Reason::InvalidAddress.into()),
            State::Failed,
            Reason::InvalidAddress,
            1,
        ),
        // It never arrived, so even an order that must not be sent twice is sent.
        (LookupResult::Never, State::Sent, Reason::None, 2),
        (LookupResult::CannotTell, State::Unknown, Reason::NotRetried, 1),
    ];
    for (found, state, reason, sends) in cases {
        let script = unknown_first(capabilities(UnknownHandling::RetryOnce, true), 1);
        script.set_found(move |_| found);
        let courier = house.courier(Arc::clone(&script), brisk()).await;
        let order_id = house.tell(&Order { on_unknown: OnUnknown::Hold, ..Order::default() }).await;
        house.ended(&order_id).await;
        let outcome = house.outcome(&order_id).await;
        assert_eq!((outcome.state, outcome.reason), (state, reason), "{found:?}");
        assert_eq!((script.seen().len(), script.requested()), (sends, 1));
        courier.stopped().await;
    }
}

/// Makes every unresolved parcel due for another inquiry now.
fn ask_again(house: &House) {
    let parcel_ids = house.command(&["ZRANGE", "unresolved:{0}:email", "0", "-1"]);
    for parcel_id in parcel_ids.items() {
        house.command(&["ZADD", "unresolved:{0}:email", "1", parcel_id.text().unwrap()]);
    }
}

async fn requested_again(house: &House, script: &Script, times: u64) {
    eventually_async("another inquiry", async || {
        ask_again(house);
        if script.requested() >= times { Ok(()) } else { Err(script.requested()) }
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_cannot_say_now_is_asked_again() {
    let house = House::open().await;
    let script = unknown_first(capabilities(UnknownHandling::RetryOnce, true), 1);
    script.set_found(|_| LookupResult::NotNow);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order_id = house.deliveries(1).await;
    requested_again(&house, &script, 2).await;
    assert_eq!(house.outcome(&order_id).await.state, State::Unresolved);
    script.set_found(|_| LookupResult::Known(OutcomeKind::Sent, Reason::None.into()));
    let requested = script.requested();
    requested_again(&house, &script, requested + 1).await;
    house.ended(&order_id).await;
    assert_eq!(house.outcome(&order_id).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn an_inquiry_that_panics_is_repeated() {
    let house = House::open().await;
    let script = unknown_first(capabilities(UnknownHandling::RetryOnce, true), 1);
    let panics = AtomicBool::new(true);
    script.set_found(move |_| {
        assert!(!panics.swap(false, Ordering::SeqCst), "an inquiry that panics");
        LookupResult::Known(OutcomeKind::Sent, Reason::None.into())
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order_id = house.deliveries(1).await;
    requested_again(&house, &script, 2).await;
    house.ended(&order_id).await;
    assert_eq!(house.outcome(&order_id).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn an_order_that_cannot_be_read_does_not_stop_the_others() {
    let house = House::open().await;
    let script = unknown_first(capabilities(UnknownHandling::Hold, false), 1);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let bad = house.deliveries(1).await;
    house.eventually(&bad, State::Unresolved, 1).await;
    // Postponed before its send window is over, so that it is not decided yet.
    house.command(&["ZADD", "unresolved:{0}:email", "9999999999999", &format!("{bad}:0")]);
    let good = house.deliveries(1).await;
    house.eventually(&good, State::Unresolved, 1).await;
    house.command(&["HSET", &format!("history:{{0}}:{bad}"), "b0", "nothing that can be read"]);
    house.command(&["ZADD", "unresolved:{0}:email", "1", &format!("{bad}:0"), "2", &format!("{good}:0")]);
    house.ended(&good).await;
    assert_eq!(house.outcome(&good).await.state, State::Unknown);
    courier.stopped().await;
}
