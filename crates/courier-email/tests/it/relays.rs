//! Several relays, reused connections, and lost connections.

use std::time::Duration;

use posthaste_courier::{Outcome, Transport};
use tokio::time::Instant;

use crate::house::{envelope, send, transport};
use crate::server::{Act, Kind, Plan, Server, Step};

/// An address on which nothing listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("smtp+plain://{}", listener.local_addr().expect("an address"))
}

#[tokio::test]
async fn the_next_relay_takes_what_the_first_can_not() {
    for trouble in [
        Plan::says(Step::Greeting, "554 no service"),
        Plan::says(Step::Greeting, "421 too busy"),
        Plan::says(Step::Ehlo, "451 not now"),
        Plan::at(Step::Greeting, Act::Close),
        Plan::says(Step::Mail, "421 4.7.28 too fast"),
        Plan::says(Step::Mail, "530 5.7.0 authentication required"),
        Plan::at(Step::Rcpt, Act::Close),
        Plan::at(Step::Data, Act::Close),
    ] {
        let (first, second) = (Server::plain().await, Server::plain().await);
        first.plan(trouble.clone());
        let transport = transport(&[first.url(), second.url()], &[]);
        assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent, "{trouble:?}");
        assert_eq!((first.taken().len(), second.taken().len()), (0, 1), "{trouble:?}");
    }
}

#[tokio::test]
async fn what_a_relay_says_of_a_message_is_not_asked_of_the_next() {
    let (first, second) = (Server::plain().await, Server::plain().await);
    let transport = transport(&[first.url(), second.url()], &[]);
    for plan in [
        Plan::says(Step::Rcpt, "550 5.1.1 no such user"),
        Plan::says(Step::Rcpt, "450 4.2.0 later"),
        Plan::at(Step::Text, Act::TakeAndClose),
        Plan::says(Step::Text, "421 too busy"),
    ] {
        first.plan(plan);
        assert_ne!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
        assert_eq!(second.connections(), 0);
    }
}

#[tokio::test]
async fn a_relay_that_is_gone_rests_and_comes_back() {
    let (first, second) = (Server::plain().await, Server::plain().await);
    let transport = transport(&[first.url(), second.url()], &[("smtp.skip_relay_for", "1h")]);
    first.plan(Plan::at(Step::Greeting, Act::Close));
    for _ in 0..3 {
        assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    }
    assert_eq!(first.connections(), 1, "it was tried once");
    first.plan(Plan::default());
    // A check of the channel finds it available again.
    assert_eq!(transport.check().await, Ok(()));
    assert_eq!(send(&transport, &envelope("b@mail.example")).await, Outcome::Sent);
    assert_eq!(first.taken().len(), 1);
}

#[tokio::test]
async fn the_channel_stops_when_every_relay_has_to_be_mended() {
    let closed = Server::plain().await;
    closed.plan(Plan::says(Step::Greeting, "554 no service"));
    let alone = transport(&[closed.url()], &[]);
    let Outcome::Stop(why) = send(&alone, &envelope("a@mail.example")).await else { panic!("no stop") };
    assert!(why.contains("replied 554 while connecting"), "{why}");
    let found = alone.check().await.expect_err("a relay that is not well");
    assert!(found.contains("replied 554"), "{found}");
    // A relay that is merely unreachable may recover by itself.
    let both = transport(&[closed.url(), nobody().await], &[]);
    let outcome = send(&both, &envelope("a@mail.example")).await;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
}

#[tokio::test]
async fn connections_are_used_again_up_to_their_limit() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[("smtp.messages_per_connection", "3")]);
    for _ in 0..7 {
        assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    }
    assert_eq!(server.connections(), 3);
    posthaste_rig::eventually("the farewells", || {
        let farewells = server.verbs().iter().filter(|verb| *verb == "QUIT").count();
        if farewells == 2 { Ok(()) } else { Err(format!("{farewells}")) }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_the_relay_closed_meanwhile_is_no_trouble() {
    for pipelining in [false, true] {
        let server = Server::start(Kind { pipelining, ..Kind::default() }).await;
        let transport = transport(&[server.url()], &[("smtp.idle_for", "1h")]);
        for n in 1..=3 {
            assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
            assert_eq!(server.connections(), n);
            server.cut().await;
        }
        // Or replies so when the connection is used again.
        let only_now = Plan::says(Step::Mail, "421 4.4.2 idle for too long");
        let transport = crate::house::transport(&[server.url()], &[]);
        assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
        server.plan(only_now);
        let outcome = send(&transport, &envelope("a@mail.example")).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "a new connection gets it too: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_nobody_uses_are_closed() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[("smtp.idle_for", "100ms")]);
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    posthaste_rig::eventually("a farewell", || {
        if server.verbs().iter().any(|verb| verb == "QUIT") { Ok(()) } else { Err("none") }
    });
}

#[tokio::test]
async fn what_could_not_be_sent_in_time_is_reported_before_the_deadline() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    for step in [Step::Greeting, Step::Mail, Step::Rcpt, Step::Data] {
        server.plan(Plan::at(step, Act::Hang));
        let deadline = Instant::now() + Duration::from_millis(500);
        let message = envelope("a@mail.example");
        let ended =
            tokio::time::timeout_at(deadline, transport.send(std::slice::from_ref(&message), deadline));
        let outcomes = ended.await.expect("an outcome in time");
        assert!(matches!(outcomes[..], [Outcome::NotSent { .. }]), "{step:?}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_message_with_which_conversations_break_comes_less_and_less_often() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    server.plan(Plan::at(Step::Rcpt, Act::Close));
    let mut message = envelope("a@mail.example");
    for (attempt, seconds) in [(1, 1), (2, 2), (5, 16), (10, 512), (11, 900), (255, 900)] {
        message.attempt = attempt;
        let Outcome::NotSent { after, .. } = send(&transport, &message).await else { panic!("it was sent") };
        assert_eq!(after, Some(Duration::from_secs(seconds)));
    }
    server.plan(Plan::at(Step::Greeting, Act::Close));
    let outcome = send(&transport, &message).await;
    assert!(matches!(outcome, Outcome::NotSent { after: None, .. }), "{outcome:?}");
}
