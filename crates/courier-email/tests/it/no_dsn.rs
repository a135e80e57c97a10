//! Relays that offer DSN and reject its parameters.

use posthaste_courier::{Outcome, Transport};

use crate::client::BOUNCES;
use crate::house::{envelope, send, transport};
use crate::server::{Act, Kind, Plan, Server, Step};

/// The MAIL and RCPT commands a server received, as step and whether they requested reports.
fn requested(server: &Server) -> Vec<(&'static str, bool)> {
    let paths = server.state.paths.lock().expect("the paths").clone();
    let requested =
        |path: String| (if path.starts_with("MAIL") { "MAIL" } else { "RCPT" }, !path.ends_with('>'));
    paths.into_iter().map(requested).collect()
}

#[tokio::test]
async fn parameters_that_are_not_taken_are_left_out() {
    for step in [Step::Mail, Step::Rcpt] {
        for (pipelining, lax) in [(false, false), (true, false), (true, step == Step::Rcpt)] {
            let kind = Kind { pipelining, lax, no_dsn_at: Some(step), ..Kind::default() };
            let server = Server::start(kind).await;
            let transport = transport(&[server.url()], &BOUNCES);
            for _ in 0..3 {
                let outcome = send(&transport, &envelope("a@mail.example")).await;
                assert_eq!(outcome, Outcome::Sent, "{step:?} {pipelining} {lax}");
            }
            assert_eq!((server.taken().len(), server.connections()), (3, 1), "{step:?}");
            assert!(server.taken().iter().all(|mail| mail.from.starts_with("bounces+")), "{step:?}");
            let with: Vec<_> = requested(&server).into_iter().filter(|(_, asks)| *asks).collect();
            let once = if step == Step::Mail && !pipelining {
                &[("MAIL", true)][..]
            } else {
                &[("MAIL", true), ("RCPT", true)]
            };
            assert_eq!(with, once, "the relay is known after the first message");
            // It is still known in the next session.
            server.cut().await;
            assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
            assert_eq!(
                requested(&server).into_iter().filter(|(_, asks)| *asks).count(),
                once.len(),
                "{step:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_refused_without_parameters_too_is_judged_as_it_is() {
    for (step, stops) in [(Step::Mail, true), (Step::Rcpt, false)] {
        let server = Server::start(Kind { dsn: true, ..Kind::default() }).await;
        let transport = transport(&[server.url()], &BOUNCES);
        server.plan(Plan::says(step, "555 5.5.4 syntax error"));
        let outcome = send(&transport, &envelope("a@mail.example")).await;
        let judged =
            if stops { matches!(outcome, Outcome::Stop(_)) } else { matches!(outcome, Outcome::Failed(_)) };
        assert!(judged, "{outcome:?}");
        assert_eq!(
            requested(&server).iter().filter(|(verb, _)| *verb == "MAIL").count(),
            2,
            "once more, and no oftener"
        );
        // They were not the cause, so reports are requested again.
        server.plan(Plan::default());
        assert_eq!(transport.check().await, Ok(()));
        assert_eq!(send(&transport, &envelope("b@mail.example")).await, Outcome::Sent);
        assert_eq!(requested(&server)[requested(&server).len() - 2..], [("MAIL", true), ("RCPT", true)]);
    }
}

#[tokio::test]
async fn a_relay_that_hangs_up_over_parameters_gets_the_next_message_without() {
    let server = Server::start(Kind { dsn: true, ..Kind::default() }).await;
    let transport = transport(&[server.url()], &BOUNCES);
    let mut plan = Plan::says(Step::Mail, "555 5.5.4 unsupported option");
    plan.acts.insert(Step::Rset, Act::Close);
    server.plan(plan);
    let outcome = send(&transport, &envelope("a@mail.example")).await;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
    server.plan(Plan::default());
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    assert_eq!(requested(&server), [("MAIL", true), ("MAIL", false), ("RCPT", false)]);
}
