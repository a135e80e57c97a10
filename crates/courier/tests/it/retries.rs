//! Tries: spent by temporary rejections, not by attempts that never left; a delivery ends when all are spent.

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{Capabilities, Outcome};
use posthaste_model::{Reason, State};

use super::house::{House, brisk};
use super::script::{Answer, Script};

fn three_tries() -> Capabilities {
    Capabilities { max_tries: 3, ..Capabilities::default() }
}

fn retry(after: Option<Duration>) -> Outcome {
    Outcome::Retry { after, reason: Reason::ProviderUnavailable.into() }
}

#[tokio::test]
async fn temporary_rejections_end_when_all_tries_are_spent() {
    let house = House::open().await;
    let script = Script::new(three_tries(), |_| Answer::Say(retry(None)));
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    let tries: Vec<(u8, u8)> = script.seen().iter().map(|seen| (seen.attempt, seen.tries)).collect();
    assert_eq!(tries, [(1, 0), (2, 1), (3, 2)]);
    let outcome = house.outcome(&order).await;
    assert_eq!((outcome.state, outcome.reason), (State::Failed, Reason::RetriesExhausted));
    courier.stopped().await;
}

#[tokio::test]
async fn a_requested_wait_is_obeyed_and_others_do_not_wait_for_it() {
    let house = House::open().await;
    let hint = Duration::from_secs(1);
    let script = Script::new(three_tries(), move |seen| match (seen.index, seen.before) {
        (1, 0) => Answer::Say(retry(Some(hint))),
        _ => Answer::Say(Outcome::Sent),
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(90).await;
    house.eventually(&order, State::Sent, 90).await;
    let seen = script.seen();
    assert_eq!((seen.len(), seen[90].index), (91, 1), "all the others were sent before the retry");
    let of_one: Vec<_> = seen.iter().filter(|seen| seen.index == 1).collect();
    assert_eq!(of_one.len(), 2);
    assert!(of_one[1].at >= of_one[0].at + hint);
    assert_eq!(house.outcomes(&order).await[1].tries, 1);
    courier.stopped().await;
}

#[tokio::test]
async fn attempts_that_never_left_spend_no_try() {
    let house = House::open().await;
    let script = Script::new(three_tries(), |seen| match seen.before {
        0..5 => Answer::Say(Outcome::NotSent { after: None, reason: Reason::ConnectionFailed }),
        _ => Answer::Say(Outcome::Sent),
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    let tries: Vec<(u8, u8)> = script.seen().iter().map(|seen| (seen.attempt, seen.tries)).collect();
    assert_eq!(tries, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)]);
    assert_eq!(house.outcome(&order).await.state, State::Sent);
    courier.stopped().await;
}

#[tokio::test]
async fn a_repeat_that_gives_up_stays_unknown() {
    let house = House::open().await;
    let capabilities = Capabilities {
        max_tries: 2,
        on_unknown: posthaste_courier::UnknownHandling::RetryOnce,
        send_window: Duration::from_millis(200),
        ..Capabilities::default()
    };
    let script = Script::new(capabilities, |seen| match seen.before {
        0 => Answer::Say(Outcome::Unknown(Reason::ConnectionLost)),
        _ => Answer::Say(retry(None)),
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(1).await;
    house.ended(&order).await;
    let outcome = house.outcome(&order).await;
    assert_eq!((outcome.state, outcome.reason), (State::Unknown, Reason::RetriesExhausted));
    assert_eq!(script.seen().len(), 3);
    courier.stopped().await;
}

#[tokio::test]
async fn final_outcomes_end_the_delivery() {
    let house = House::open().await;
    let script = Script::new(Capabilities::default(), |seen| {
        Answer::Say(match seen.index {
            0 => Outcome::Sent,
            1 => Outcome::Delivered,
            2 => Outcome::Failed(Reason::Rejected.into()),
            3 => Outcome::HardRefusal(Reason::Blocked.into()),
            _ => Outcome::Failed(Reason::Provider(1_234).into()),
        })
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(5).await;
    house.ended(&order).await;
    let ended: Vec<(State, Reason)> =
        house.outcomes(&order).await.iter().map(|outcome| (outcome.state, outcome.reason)).collect();
    let expected = [
        (State::Sent, Reason::None),
        (State::Delivered, Reason::None),
        (State::Failed, Reason::Rejected),
        (State::Failed, Reason::Blocked),
        (State::Failed, Reason::Provider(1_234)),
    ];
    assert_eq!(ended, expected);
    courier.stopped().await;
}

/// The transport panics for one of three envelopes: its outcome is unknown, and the courier goes on.
#[tokio::test]
async fn a_panic_is_unknown_and_ends_nothing_else() {
    let house = House::open().await;
    let capabilities = Capabilities { send_window: Duration::from_millis(200), ..Capabilities::default() };
    let script = Script::new(capabilities, |seen| match seen.index {
        1 => Answer::Panic,
        _ => Answer::Say(Outcome::Sent),
    });
    let courier = house.courier(Arc::clone(&script), brisk()).await;
    let order = house.deliveries(3).await;
    house.ended(&order).await;
    let states: Vec<State> = house.outcomes(&order).await.iter().map(|outcome| outcome.state).collect();
    assert_eq!(states, [State::Sent, State::Unknown, State::Sent]);
    courier.stopped().await;
}
