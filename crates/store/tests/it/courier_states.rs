//! What couriers report about themselves, and what waits for them, as the queue reads it.

use std::time::Duration;

use posthaste_model::CourierId;
use posthaste_store::{ChannelState, CourierState, OwnReport, Role, Store};

use super::house::{email, server, settings};

fn report(courier: &CourierId, number: u64, state: Option<CourierState>) -> OwnReport<'_> {
    static EMAIL: std::sync::LazyLock<posthaste_model::Channel> = std::sync::LazyLock::new(email);
    OwnReport {
        channel: &EMAIL,
        courier,
        number,
        state,
        ends_in: (state == Some(CourierState::Resting)).then_some(Duration::from_secs(9)),
        holds: Duration::from_secs(60),
        why: "why it is so",
    }
}

#[tokio::test]
async fn the_state_of_a_channel_is_what_its_couriers_report() {
    let server = server();
    let (queue, _) = Store::connect(settings(&server.url()), Role::Queue).await.unwrap();
    let (courier, _) = Store::connect(settings(&server.url()), Role::Courier(email())).await.unwrap();
    let (one, other): (CourierId, CourierId) = ("c1".parse().unwrap(), "c2".parse().unwrap());
    let seen = async || queue.couriers().await.unwrap().remove(0);
    assert_eq!((seen().await.state, seen().await.couriers), (ChannelState::Silent, 0), "registered");

    courier.report_courier(&report(&one, 1, Some(CourierState::Stopped))).await.unwrap();
    let stopped = seen().await;
    assert_eq!((stopped.state, stopped.why.as_deref()), (ChannelState::Stopped, Some("why it is so")));
    assert!(stopped.since.is_some() && stopped.until.is_none() && stopped.present);
    courier.report_courier(&report(&other, 1, Some(CourierState::Resting))).await.unwrap();
    let resting = seen().await;
    assert_eq!((resting.state, resting.couriers), (ChannelState::Resting, 2));
    assert!(resting.until > resting.since);
    courier.report_courier(&report(&other, 2, None)).await.unwrap();
    assert_eq!((seen().await.state, seen().await.couriers), (ChannelState::Stopped, 1));

    // It was killed: its report is not repeated, then holds no longer, and no claim is seen.
    let now = queue.server_time().await.unwrap().0;
    let aged =
        |ago: u64, holds: u64| format!("1 stopped {} {} {} 0 why", now - 90_000, now - ago, now + holds);
    server.command(&["HSET", "channels:{0}", "email", &(now - 20_000).to_string()]).unwrap();
    server.command(&["HSET", "courier_states:{0}", "email:c1", &aged(13_000, 5_000)]).unwrap();
    assert_eq!(seen().await.state, ChannelState::Silent);
    server
        .command(&["HSET", "courier_states:{0}", "email:c1", &format!("1 stopped 1 1 {} 0 why", now - 1)])
        .unwrap();
    let gone = seen().await;
    assert_eq!((gone.state, gone.present, gone.couriers), (ChannelState::Absent, false, 0));

    // What another program writes there stops nothing.
    server.command(&["SET", "courier_states:{0}", "x"]).unwrap();
    assert_eq!(seen().await.state, ChannelState::Absent);
}

#[tokio::test]
async fn a_long_cause_is_cut_at_a_letter() {
    let server = server();
    let (courier, _) = Store::connect(settings(&server.url()), Role::Courier(email())).await.unwrap();
    let (id, why) = ("c1".parse().unwrap(), "ж".repeat(400));
    let long = OwnReport { why: &why, ..report(&id, 1, Some(CourierState::Stopped)) };
    courier.report_courier(&long).await.unwrap();
    let seen = courier.couriers().await.unwrap().remove(0);
    assert_eq!(seen.why.as_deref(), Some("ж".repeat(150).as_str()));
}
