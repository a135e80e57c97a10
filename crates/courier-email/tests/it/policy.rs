//! Rejections by policy: one is about a message, many are about the sender.

use posthaste_courier::Outcome;
use posthaste_courier_email::EmailTransport;
use posthaste_model::Reason;

use crate::house::{envelope, send, transport};
use crate::server::{Plan, Server, Step};

const UNAUTHENTICATED: &str = "550-5.7.26 canary-8214\r\n550 5.7.26 unauthenticated";

async fn all(transport: &EmailTransport, messages: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..messages {
        outcomes.push(send(transport, &envelope("a@mail.example")).await);
    }
    outcomes
}

#[tokio::test]
async fn a_sender_nobody_wants_stops_before_the_whole_mailing_has_failed() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    server.plan(Plan::says(Step::Text, UNAUTHENTICATED));
    assert!(
        all(&transport, 25).await.iter().all(|outcome| *outcome == Outcome::Failed(Reason::Rejected.into()))
    );
    for outcome in all(&transport, 10).await {
        let Outcome::Stop(why) = outcome else { panic!("it goes on: {outcome:?}") };
        assert!(why.contains("of the last 50 messages were rejected by policy (5.7.x)"), "{why}");
        assert!(why.contains(&server.address.to_string()) && why.ends_with("550 5.7.26"), "{why}");
        assert!(!why.contains("canary"), "{why}");
    }
    // Fixed: earlier rejections are forgotten while messages are accepted.
    server.plan(Plan::default());
    assert!(all(&transport, 50).await.iter().all(|outcome| *outcome == Outcome::Sent));
    server.plan(Plan::says(Step::Rcpt, UNAUTHENTICATED));
    assert_eq!(all(&transport, 1).await, [Outcome::Failed(Reason::Rejected.into())]);
}

#[tokio::test]
async fn up_to_the_share_refusals_are_about_messages() {
    let server = Server::plain().await;
    let only = Some(["a@mail.example".to_owned()].into());
    server.plan(Plan { only, ..Plan::says(Step::Text, UNAUTHENTICATED) });
    for (share, stops) in [("0.5", false), ("0.45", true), ("1", false)] {
        let transport = transport(&[server.url()], &[("smtp.policy_share", share)]);
        let mut stopped = false;
        for _ in 0..60 {
            assert_eq!(send(&transport, &envelope("b@mail.example")).await, Outcome::Sent);
            stopped |= matches!(send(&transport, &envelope("a@mail.example")).await, Outcome::Stop(_));
        }
        assert_eq!(stopped, stops, "{share}");
    }
}

#[tokio::test]
async fn what_is_refused_for_another_reason_stops_nobody() {
    for reply in ["550 5.1.1 no such user", "554 5.6.0 bad content", "554 no", "451 4.7.1 greylisted"] {
        let server = Server::plain().await;
        let transport = transport(&[server.url()], &[("smtp.policy_share", "0")]);
        server.plan(Plan::says(Step::Text, reply));
        let stopped =
            all(&transport, 60).await.into_iter().find(|outcome| matches!(outcome, Outcome::Stop(_)));
        assert_eq!(stopped, None, "{reply}");
    }
}
