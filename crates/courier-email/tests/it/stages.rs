//! Every fault at every stage, with and without pipelining: the outcome of the message is right, and the next message
//! is sent.

use std::sync::Arc;

use posthaste_courier::Outcome;
use posthaste_model::{Content, Reason, Text};
use tokio::task::JoinSet;

use crate::house::{coded, envelope, send, transport};
use crate::server::{Act, Kind, Plan, Server, Step};

/// An outcome without its details.
fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unknown(reason) => format!("unknown {}", reason.word()),
        Outcome::Failed(why) => format!("rejected {}", why.reason.word()),
        Outcome::HardRefusal(why) => format!("suppress {}", why.reason.word()),
        Outcome::Strike { reason: why, of } => format!("strike {} {of}", why.reason.word()),
        Outcome::Retry { reason: why, .. } => format!("retry {}", why.reason.word()),
        Outcome::NotSent { .. } => "not sent".to_owned(),
        Outcome::Throttled { .. } => "throttled".to_owned(),
        Outcome::Stop(_) => "stop".to_owned(),
        other => format!("{other:?}"),
    }
}

const BEFORE_TEXT: [Step; 5] = [Step::Greeting, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data];

async fn reported(pipelining: bool, plan: Plan, waits: &[(&str, &str)]) -> String {
    let server = Server::start(Kind { pipelining, ..Kind::default() }).await;
    let transport = transport(&[server.url()], waits);
    server.plan(plan.clone());
    let outcome = word(&send(&transport, &envelope("a@mail.example")).await);
    server.plan(Plan::default());
    let next = send(&transport, &envelope("b@mail.example")).await;
    assert_eq!(next, Outcome::Sent, "after {plan:?}");
    let to_b = server.taken().iter().filter(|mail| mail.to == ["b@mail.example"]).count();
    assert_eq!(to_b, 1, "after {plan:?}");
    outcome
}

#[tokio::test]
async fn a_closed_connection_is_unknown_after_the_dot_alone() {
    for pipelining in [false, true] {
        for step in BEFORE_TEXT {
            assert_eq!(reported(pipelining, Plan::at(step, Act::Close), &[]).await, "not sent", "{step:?}");
        }
        for act in [Act::Close, Act::TakeAndClose] {
            let outcome = reported(pipelining, Plan::at(Step::Text, act), &[]).await;
            assert_eq!(outcome, "unknown connection_lost");
        }
    }
}

#[tokio::test]
async fn silence_is_unknown_after_the_dot_alone() {
    let short = [
        ("smtp.connect_within", "2s"),
        ("smtp.reply_within", "2s"),
        ("smtp.text_within", "2s"),
        ("smtp.final_reply_within", "2s"),
    ];
    // Concurrently, because each takes as long as its timeout.
    let mut cases = JoinSet::new();
    for pipelining in [false, true] {
        for step in BEFORE_TEXT.into_iter().chain([Step::Text]) {
            cases.spawn(async move {
                let outcome = reported(pipelining, Plan::at(step, Act::Hang), &short).await;
                let wanted = if step == Step::Text { "unknown timed_out" } else { "not sent" };
                assert_eq!(outcome, wanted, "{step:?}, in groups: {pipelining}");
            });
        }
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_text_without_its_dot_was_not_sent() {
    for act in [Act::Hang, Act::Close] {
        let server = Server::plain().await;
        let transport = transport(&[server.url()], &[("smtp.text_within", "2s")]);
        server.plan(Plan::at(Step::HalfText, act.clone()));
        let mut big = envelope("a@mail.example");
        // More than the system buffers for a peer that does not read.
        let text = Text::new("A line of a very long message.\n".repeat(40_000));
        big.content = Arc::new(Content { text, ..Content::default() });
        assert_eq!(word(&send(&transport, &big).await), "not sent", "{act:?}");
        server.plan(Plan::default());
        assert_eq!(send(&transport, &envelope("b@mail.example")).await, Outcome::Sent);
    }
}

#[tokio::test]
async fn answers_without_sense_or_end_are_cut_off() {
    for pipelining in [false, true] {
        for act in [Act::Say("what".to_owned()), Act::Flood] {
            for step in BEFORE_TEXT {
                assert_eq!(
                    reported(pipelining, Plan::at(step, act.clone()), &[]).await,
                    "not sent",
                    "{step:?} {act:?}"
                );
            }
        }
        // The cost of a short line must not grow with the number of lines before it.
        let endless = |code: &str| Act::Say(format!("{code}-\r\n").repeat(16_000) + &format!("{code} ok"));
        for (step, code) in BEFORE_TEXT.into_iter().zip(["220", "250", "250", "250", "354"]) {
            let outcome = reported(pipelining, Plan::at(step, endless(code)), &[]).await;
            assert_eq!(outcome, "not sent", "{step:?}");
        }
        let reported = async |act| reported(pipelining, Plan::at(Step::Text, act), &[]).await;
        assert_eq!(reported(endless("250")).await, "unknown invalid_provider_response");
        assert_eq!(reported(Act::Say("what".to_owned())).await, "unknown invalid_provider_response");
        assert!(reported(Act::Flood).await.starts_with("unknown"));
        assert_eq!(reported(Act::Say("250 2.0.0 Спасибо".to_owned())).await, "Sent");
    }
}

#[tokio::test]
async fn a_reply_out_of_step_lets_no_byte_of_a_text_leave() {
    for pipelining in [false, true] {
        // Every later reply is read one command too late.
        let plan = Plan::says(Step::Mail, "250 one\r\n250 too many");
        assert_eq!(reported(pipelining, plan, &[]).await, "not sent");
        assert_eq!(reported(pipelining, Plan::says(Step::Data, "250 ok"), &[]).await, "not sent");
        // A reply to a text that it has not received.
        let plan = Plan::says(Step::Data, "354 go\r\n250 2.0.0 taken");
        assert_eq!(reported(pipelining, plan, &[]).await, "not sent");
        for (step, reply) in [
            (Step::Greeting, "220 one\r\n250 too many"),
            (Step::Ehlo, "250 one\r\n250 too many"),
            (Step::Mail, "354 go"),
            (Step::Rcpt, "354 go"),
            (Step::Greeting, "354 go"),
        ] {
            assert_eq!(
                reported(pipelining, Plan::says(step, reply), &[]).await,
                "not sent",
                "{step:?} {reply}"
            );
        }
        assert_eq!(
            reported(pipelining, Plan::says(Step::Text, "354 go on"), &[]).await,
            "unknown invalid_provider_response"
        );
    }
}

#[tokio::test]
async fn replies_are_judged_at_their_stage() {
    for pipelining in [false, true] {
        for (step, reply, wanted) in [
            (Step::Greeting, "421 4.3.2 too busy", "not sent"),
            (Step::Greeting, "554 no service", "stop"),
            (Step::Ehlo, "502 what is EHLO", "stop"),
            (Step::Mail, "421 4.7.28 too fast", "not sent"),
            (Step::Mail, "451 4.3.0 later", "retry provider_error"),
            (Step::Mail, "550 5.7.1 not you", "stop"),
            (Step::Mail, "552 5.3.4 too big", "rejected rejected"),
            (Step::Rcpt, "421 closing", "throttled"),
            (Step::Rcpt, "450 4.7.1 greylisted", "retry throttled"),
            (Step::Rcpt, "452 4.2.2 full", "retry provider_error"),
            (Step::Rcpt, "550 5.1.1 unknown user", "suppress invalid_address"),
            (Step::Rcpt, "550 unknown user", "strike invalid_address 2"),
            (Step::Rcpt, "550-5.7.1 many\r\n550 5.7.1 lines", "rejected rejected"),
            (Step::Rcpt, "552 5.2.2 full", "retry provider_error"),
            (Step::Rcpt, "556 null MX", "suppress invalid_address"),
            (Step::Data, "451 4.3.0 later", "retry provider_error"),
            (Step::Data, "554 5.7.1 no", "rejected rejected"),
            (Step::Data, "421 4.7.28 too fast", "throttled"),
            (Step::Text, "421 4.7.28 too fast", "throttled"),
            (Step::Text, "451 4.7.1 greylisted", "retry throttled"),
            (Step::Text, "550 5.1.1 unknown user", "suppress invalid_address"),
            (Step::Rcpt, "550 5.7.1 No such user!", "strike invalid_address 2"),
            (Step::Data, "554 5.7.1 no such user", "strike invalid_address 2"),
            (Step::Text, "554 5.7.1 no such user", "strike invalid_address 2"),
            (Step::Rcpt, "550 Sender verify failed: unknown user", "rejected rejected"),
            (Step::Text, "554 5.6.0 bad content", "rejected rejected"),
            (Step::Text, "451 4.3.0 later", "retry provider_error"),
        ] {
            let outcome = reported(pipelining, Plan::says(step, reply), &[]).await;
            assert_eq!(outcome, wanted, "{step:?} {reply}");
        }
    }
}

#[tokio::test]
async fn a_bare_refusal_counts_against_the_address_and_is_not_tried_again() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    for reply in ["550 no such user here", "550 5.2.1 disabled", "550 5.4.4 no route"] {
        server.plan(Plan::says(Step::Rcpt, reply));
        let outcome = send(&transport, &envelope("a@mail.example")).await;
        assert_eq!(outcome, Outcome::Strike { reason: Reason::InvalidAddress.into(), of: 2 }, "{reply}");
    }
}

#[tokio::test]
async fn a_refused_recipient_costs_no_connection() {
    for (pipelining, lax) in [(false, false), (true, false), (true, true)] {
        let server = Server::start(Kind { pipelining, lax, ..Kind::default() }).await;
        let transport = transport(&[server.url()], &[]);
        let only = Some(["bad@mail.example".to_owned()].into());
        server.plan(Plan { only, ..Plan::says(Step::Rcpt, "550 5.1.1 no such user") });
        for _ in 0..3 {
            let refused = send(&transport, &envelope("bad@mail.example")).await;
            assert_eq!(refused, Outcome::HardRefusal(Reason::InvalidAddress.into()));
            assert_eq!(send(&transport, &envelope("good@mail.example")).await, Outcome::Sent);
        }
        assert_eq!(server.connections(), 1);
        assert_eq!(server.taken().len(), 3);
    }
}

#[tokio::test]
async fn the_reply_code_and_the_enhanced_status_of_a_refusal_are_kept() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    for (step, reply, wanted, code) in [
        (Step::Rcpt, "550 5.1.1 no such user", "suppress invalid_address", "550 5.1.1"),
        (Step::Rcpt, "554 5.7.1 Your IP is on our block list", "rejected rejected", "554 5.7.1"),
        (Step::Rcpt, "550 5.1.10 null MX", "suppress invalid_address", "550 5.1.10"),
        (Step::Rcpt, "550-5.7.1 many\r\n550 5.7.1 lines", "rejected rejected", "550 5.7.1"),
        (Step::Rcpt, "550 unknown user", "strike invalid_address 2", "550"),
        (Step::Rcpt, "452 4.2.2 full", "retry provider_error", "452 4.2.2"),
        (Step::Text, "554 5.6.0 bad content", "rejected rejected", "554 5.6.0"),
        (Step::Text, "554 5.1234.0 no such status", "rejected rejected", "554"),
    ] {
        server.plan(Plan::says(step, reply));
        let outcome = coded(&transport, &envelope("a@mail.example")).await;
        assert_eq!((word(&outcome).as_str(), outcome.code().to_string().as_str()), (wanted, code), "{reply}");
    }
}
