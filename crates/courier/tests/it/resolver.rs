//! Unknown outcomes: told at once, and after their time decided as order and channel say.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::house::eventually_async;
use posthaste_courier::{Abilities, Found, Outcome, Policy};
use posthaste_model::{OnUnknown, Reason, State, Verdict};
use tokio::time::Instant;

use super::house::{House, Order, brisk};
use super::script::{Answer, Script};

const WINDOW: Duration = Duration::from_millis(300);

fn abilities(on_unknown: Policy, inquires: bool) -> Abilities {
    Abilities { on_unknown, inquires, send_window: WINDOW, ..Abilities::default() }
}

/// Says unknown for the first so many attempts, then accepted.
fn unknown_first(abilities: Abilities, times: usize) -> Arc<Script> {
    Script::new(abilities, move |seen| {
        Answer::Say(if seen.before < times {
            Outcome::Unknown(Reason::ConnectionLost)
        } else {
            Outcome::Accepted
        })
    })
}

#[tokio::test]
async fn order_and_channel_decide() {
    let house = House::open().await;
    let cases = [
        (Policy::Hold, OnUnknown::Default, 1, State::Unknown, Reason::Held, 1),
        (Policy::RetryOnce, OnUnknown::Default, 1, State::Sent, Reason::None, 2),
        (Policy::RetryOnce, OnUnknown::Hold, 1, State::Unknown, Reason::Held, 1),
        (Policy::Hold, OnUnknown::Retry, 1, State::Sent, Reason::None, 2),
        (Policy::Hold, OnUnknown::Retry, 9, State::Unknown, Reason::RepeatSpent, 2),
    ];
    for (channel, order, unknown, state, reason, sends) in cases {
        let script = unknown_first(abilities(channel, false), unknown);
        let courier = house.courier(Arc::clone(&script), brisk()).await;
        let told = Instant::now();
        let suffix = house.tell(&Order { on_unknown: order, ..Order::default() }).await;
        house.ended(&suffix).await;
        let outcome = house.outcome(&suffix).await;
        assert_eq!((outcome.state, outcome.reason), (state, reason), "{channel:?} {order:?} {unknown}");
        let seen = script.seen();
        assert_eq!(seen.len(), sends);
        if let [first, second] = &seen[..] {
            assert!(second.at >= told + WINDOW, "not before its send_by");
            assert!(second.repeat && !first.repeat);
        }
        courier.stopped().await;
    }
}

/// The provider may have taken the first attempt; that it refuses the second says nothing of it.
#[tokio::test]
async fn a_refused_repeat_leaves_its_row_unknown() {
    let house = House::open().await;
    let refusals = [
        Outcome::Rejected(Reason::Rejected),
        Outcome::Suppress(Reason::Blocked),
        Outcome::Strike { reason: Reason::BadAddress, of: 3 },
    ];
    for refusal in refusals {
        let answer = refusal.clone();
        let script = Script::new(abilities(Policy::RetryOnce, false), move |seen| {
            Answer::Say(if seen.before == 0 { Outcome::Unknown(Reason::TimedOut) } else { answer.clone() })
        });
        let courier = house.courier(Arc::clone(&script), brisk()).await;
        let order = house.rows(1).await;
        house.ended(&order).await;
        let outcome = house.outcome(&order).await;
        assert_eq!((outcome.state, outcome.reason), (State::Unknown, Reason::Held), "{refusal:?}");
        assert_eq!(script.seen().len(), 2, "{refusal:?}");
        courier.stopped().await;
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_unknown_at_its_deadline() {
    let house = House::open().await;
    let script = Script::new(abilities(Policy::Hold, false), |_| Answer::Hang);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let suffix = house.rows(1).await;
    house.ended(&suffix).await;
    assert_eq!(house.outcome(&suffix).await.state, State::Unknown);
    assert_eq!(script.on_wire(), 0, "the call was dropped");
    courier.stopped().await;
}

#[tokio::test]
async fn what_the_provider_knows_decides() {
    let house = House::open().await;
    let cases = [
        (Found::Known(Verdict::Delivered, Reason::None), State::Delivered, Reason::None, 1),
        (Found::Known(Verdict::Sent, Reason::None), State::Sent, Reason::None, 1),
        (Found::Known(Verdict::Failed, Reason::BadAddress), State::Failed, Reason::BadAddress, 1),
        // It never arrived, so even an order that must not be sent twice is sent.
        (Found::Never, State::Sent, Reason::None, 2),
        (Found::CannotTell, State::Unknown, Reason::Held, 1),
    ];
    for (found, state, reason, sends) in cases {
        let script = unknown_first(abilities(Policy::RetryOnce, true), 1);
        script.set_found(move |_| found);
        let courier = house.courier(Arc::clone(&script), brisk()).await;
        let suffix = house.tell(&Order { on_unknown: OnUnknown::Hold, ..Order::default() }).await;
        house.ended(&suffix).await;
        let outcome = house.outcome(&suffix).await;
        assert_eq!((outcome.state, outcome.reason), (state, reason), "{found:?}");
        assert_eq!((script.seen().len(), script.asked()), (sends, 1));
        courier.stopped().await;
    }
}

/// Lets every unresolved parcel be asked about again now.
fn ask_again(house: &House) {
    let members = house.command(&["ZRANGE", "unresolved:{0}:email", "0", "-1"]);
    for member in members.items() {
        house.command(&["ZADD", "unresolved:{0}:email", "1", member.text().unwrap()]);
    }
}

async fn asked_again(house: &House, script: &Script, times: u64) {
    eventually_async("another inquiry", async || {
        ask_again(house);
        if script.asked() >= times { Ok(()) } else { Err(script.asked()) }
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_cannot_say_now_is_asked_again() {
    let house = House::open().await;
    let script = unknown_first(abilities(Policy::RetryOnce, true), 1);
    script.set_found(|_| Found::NotNow);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let suffix = house.rows(1).await;
    asked_again(&house, &script, 2).await;
    assert_eq!(house.outcome(&suffix).await.state, State::Unresolved);
    script.set_found(|_| Found::Known(Verdict::Sent, Reason::None));
    let asked = script.asked();
    asked_again(&house, &script, asked + 1).await;
    house.ended(&suffix).await;
    assert_eq!(house.outcome(&suffix).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn an_inquiry_that_panics_ends_nothing() {
    let house = House::open().await;
    let script = unknown_first(abilities(Policy::RetryOnce, true), 1);
    let panics = AtomicBool::new(true);
    script.set_found(move |_| {
        assert!(!panics.swap(false, Ordering::SeqCst), "an inquiry that panics");
        Found::Known(Verdict::Sent, Reason::None)
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let suffix = house.rows(1).await;
    asked_again(&house, &script, 2).await;
    house.ended(&suffix).await;
    assert_eq!(house.outcome(&suffix).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn an_order_that_cannot_be_read_does_not_stop_the_others() {
    let house = House::open().await;
    let script = unknown_first(abilities(Policy::Hold, false), 1);
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let bad = house.rows(1).await;
    house.eventually(&bad, State::Unresolved, 1).await;
    // Before its time is over, so that nobody has decided it.
    house.command(&["ZADD", "unresolved:{0}:email", "9999999999999", &format!("{bad}:0")]);
    let good = house.rows(1).await;
    house.eventually(&good, State::Unresolved, 1).await;
    house.command(&["HSET", &format!("history:{{0}}:{bad}"), "b0", "nothing that can be read"]);
    house.command(&["ZADD", "unresolved:{0}:email", "1", &format!("{bad}:0"), "2", &format!("{good}:0")]);
    house.ended(&good).await;
    assert_eq!(house.outcome(&good).await.state, State::Unknown);
    courier.stopped().await;
}
