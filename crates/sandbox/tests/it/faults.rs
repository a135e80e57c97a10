//! Faults by rule and by magic address, as a client sees them and as they are recorded.

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use posthaste_rig::eventually_async;
use posthaste_sandbox::{
    Action, Attempt, AttemptStage, Cut, Ending, Fault, RefusalAnswer, Sandbox, Settings,
};

use crate::client::{Client, attempts, start};

fn ended(attempt: &Attempt) -> (Ending, AttemptStage, Option<u16>, Option<Cut>) {
    let outcome = attempt.outcome;
    (outcome.ending, outcome.stage, outcome.code, outcome.cut)
}

#[tokio::test]
async fn refusals_at_every_stage() {
    let sandbox = start().await;
    let refuse = |stage, code, text| Fault::new(stage, Action::Refuse(RefusalAnswer::new(code, text)));
    sandbox.set_faults(vec![refuse(AttemptStage::Mail, 451, "4.3.0 Not now").times(1)]).unwrap();
    let mut client = Client::ready(&sandbox).await;
    assert_eq!(client.expect("MAIL FROM:<a@b.test>", 451).await, " 4.3.0 Not now\n");
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    assert_eq!(client.expect("RCPT TO:<refuse@b.test>", 550).await, " 5.1.1 No such mailbox\n");
    client.expect("RCPT TO:<ann@b.test>", 250).await;
    client.expect("RCPT TO:<ann+refuse-552@b.test>", 552).await;
    client.expect("RCPT TO:<ben@refuse-554-data.test>", 250).await;
    client.expect("DATA", 554).await;
    client.message("spam@b.test").await;
    assert_eq!(client.reply().await.0, 554);
    client.message("ann@b.test").await;
    assert_eq!(client.reply().await.0, 250);

    let attempts = sandbox.attempts();
    let refused = |stage, code| (Ending::Refused, stage, Some(code), None);
    let endings: Vec<_> = attempts.iter().map(|attempt| ended(attempt)).collect();
    let accepted = (Ending::Accepted, AttemptStage::Dot, Some(250), None);
    assert_eq!(
        endings,
        [
            refused(AttemptStage::Mail, 451),
            refused(AttemptStage::Data, 554),
            refused(AttemptStage::Dot, 554),
            accepted
        ]
    );
    let codes: Vec<u16> = attempts[1].recipients.iter().map(|recipient| recipient.code).collect();
    assert_eq!(codes, [550, 250, 552, 250]);
    assert!(attempts[2].message().starts_with(b"Subject"), "a refused message is kept too");
}

#[tokio::test]
async fn refusals_before_any_message() {
    let sandbox = start().await;
    for (stage, code) in [
        (AttemptStage::Greeting, 554),
        (AttemptStage::Ehlo, 550),
        (AttemptStage::Starttls, 454),
        (AttemptStage::Auth, 535),
    ] {
        sandbox.set_faults(vec![Fault::new(stage, Action::Refuse(RefusalAnswer::of(code)))]).unwrap();
        let mut client = Client::connected(&sandbox).await;
        let mut answer = client.reply().await.0;
        for line in ["EHLO client.test", "STARTTLS"] {
            if answer / 100 == 2 && stage != AttemptStage::Auth {
                client.send(format!("{line}\r\n")).await;
                answer = client.reply().await.0;
            }
        }
        if stage == AttemptStage::Auth {
            client.expect("EHLO client.test", 250).await;
            client.send("AUTH PLAIN AGEAYg==\r\n").await;
            answer = client.reply().await.0;
        }
        assert_eq!(answer, code);
        let attempt = sandbox.attempts().pop().unwrap();
        assert_eq!(ended(&attempt), (Ending::Refused, stage, Some(code), None));
    }
}

#[tokio::test]
async fn a_421_closes() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    client.expect("RCPT TO:<refuse-421@b.test>", 421).await;
    client.ending().await.unwrap();
    let attempt = attempts(&sandbox, 1).await.remove(0);
    assert_eq!(ended(&attempt), (Ending::Refused, AttemptStage::Rcpt, Some(421), None));
}

#[tokio::test]
async fn after_the_final_dot_the_message_is_taken_and_no_answer_comes() {
    let sandbox = start().await;
    for (to, cut) in [("drop-after-dot@b.test", Cut::Drop), ("reset@b.test", Cut::Reset)] {
        let mut client = Client::ready(&sandbox).await;
        client.message(to).await;
        let ending = client.ending().await;
        match cut {
            Cut::Reset => assert_eq!(ending.unwrap_err().kind(), ErrorKind::ConnectionReset),
            _ => ending.unwrap(),
        }
        let attempt = sandbox.messages().pop().unwrap();
        assert_eq!(ended(&attempt), (Ending::Taken, AttemptStage::Dot, None, Some(cut)));
        assert!(attempt.is_to(to));
    }
    let mut client = Client::ready(&sandbox).await;
    client.message("hang@b.test").await;
    let attempt = attempts(&sandbox, 3).await.remove(2);
    assert_eq!(ended(&attempt), (Ending::Taken, AttemptStage::Dot, None, Some(Cut::Hang)));
    assert_eq!(sandbox.counts().totals.taken, 3);
}

#[tokio::test]
async fn before_the_final_dot_nothing_is_taken() {
    let sandbox = start().await;
    for (to, cut) in [("drop-before-dot@b.test", Cut::Drop), ("reset-body@b.test", Cut::Reset)] {
        let mut client = Client::ready(&sandbox).await;
        client.envelope(to).await;
        client.expect("DATA", 354).await;
        client.send("Subject: Hello\r\n").await;
        let ending = client.ending().await;
        assert_eq!(ending.is_err(), cut == Cut::Reset, "{ending:?}");
        let attempt = sandbox.attempts().pop().unwrap();
        assert_eq!(ended(&attempt), (Ending::Cut, AttemptStage::Body, None, Some(cut)));
        assert_eq!(&attempt.raw[..], b"Subject: Hello\r\n");
    }
    assert_eq!(sandbox.messages().len(), 0);
}

#[tokio::test]
async fn a_hang_at_a_stage_says_nothing_and_ends_with_the_client() {
    let sandbox = start().await;
    for (stage, to) in [
        (AttemptStage::Rcpt, "hang-rcpt@b.test"),
        (AttemptStage::Data, "hang-data@b.test"),
        (AttemptStage::Body, "hang-body@b.test"),
    ] {
        let before = sandbox.attempts().len();
        let mut client = Client::ready(&sandbox).await;
        client.send(format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{to}>\r\nDATA\r\n")).await;
        let attempt = attempts(&sandbox, before + 1).await.pop().unwrap();
        assert_eq!(ended(&attempt), (Ending::Cut, stage, None, Some(Cut::Hang)));
        assert_eq!(client.reply().await.0, 250, "what came before is answered");
    }
}

#[tokio::test]
async fn a_hang_is_over_after_its_time() {
    let mut settings = Settings::default();
    settings.smtp.hang_for = Duration::from_millis(50);
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.message("hang@b.test").await;
    client.ending().await.unwrap();
}

#[tokio::test]
async fn hang_at_the_greeting() {
    let sandbox = start().await;
    sandbox.add_fault(Fault::new(AttemptStage::Greeting, Action::Hang)).unwrap();
    let _client = Client::connected(&sandbox).await;
    let attempt = attempts(&sandbox, 1).await.remove(0);
    assert_eq!(ended(&attempt), (Ending::Cut, AttemptStage::Greeting, None, Some(Cut::Hang)));
}

#[tokio::test]
async fn greylisting_lets_the_second_try_pass_after_a_while() {
    let mut settings = Settings::default();
    settings.magic.greylist_for = Duration::from_millis(200);
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    let begun = Instant::now();
    client.expect("RCPT TO:<ann@greylist.test>", 450).await;
    client.expect("RCPT TO:<ben@greylist.test>", 450).await;
    eventually_async("greylisting to end", async || {
        client.send("RCPT TO:<ann@greylist.test>\r\n").await;
        match client.reply().await {
            (250, _) => Ok(()),
            (code, text) => Err(format!("{code}{text}")),
        }
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    client.expect("RCPT TO:<ann@greylist.test>", 250).await;
}

#[tokio::test]
async fn a_throttle_lets_so_many_pass() {
    let sandbox = start().await;
    let limit = NonZeroU32::new(3).unwrap();
    let per = Duration::from_secs(3_600);
    let answer = RefusalAnswer::new(451, "4.7.1 Slow down");
    sandbox.add_fault(Fault::new(AttemptStage::Rcpt, Action::Throttle { limit, per, answer })).unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    for code in [250, 250, 250, 451, 451] {
        client.expect("RCPT TO:<ann@b.test>", code).await;
    }
}

#[tokio::test]
async fn slow_waits_and_takes() {
    let sandbox = start().await;
    let by = Duration::from_millis(150);
    sandbox.add_fault(Fault::new(AttemptStage::Dot, Action::Slow { by }).to("slowly@*")).unwrap();
    let mut client = Client::ready(&sandbox).await;
    let begun = Instant::now();
    client.message("slowly@b.test").await;
    assert_eq!(client.reply().await.0, 250);
    assert!(begun.elapsed() >= by);
}

#[tokio::test]
async fn once_strikes_each_recipient_once() {
    let sandbox = start().await;
    for to in ["ann@drop-after-dot-once.test", "ben@drop-after-dot-once.test"] {
        let mut client = Client::ready(&sandbox).await;
        client.message(to).await;
        client.ending().await.unwrap();
        let mut client = Client::ready(&sandbox).await;
        client.message(to).await;
        assert_eq!(client.reply().await.0, 250);
    }
    assert_eq!((sandbox.counts().totals.taken, sandbox.counts().totals.accepted), (2, 2));
}

#[tokio::test]
async fn rules_strike_every_nth_time_and_are_counted_replaced_and_removed() {
    let sandbox = start().await;
    let mut fault = Fault::new(AttemptStage::Rcpt, Action::Refuse(RefusalAnswer::of(550)));
    fault.every = std::num::NonZeroU64::new(3);
    let id = sandbox.add_fault(fault.clone()).unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    for code in [250, 250, 550, 250, 250, 550] {
        client.expect("RCPT TO:<ann@b.test>", code).await;
    }
    assert_eq!((sandbox.faults()[0].struck, sandbox.faults()[0].fault.id.as_deref()), (2, Some(id.as_str())));
    fault.id = Some(id.clone());
    fault.every = None;
    sandbox.add_fault(fault).unwrap();
    assert_eq!(sandbox.faults().len(), 1);
    client.expect("RCPT TO:<ann@b.test>", 550).await;
    assert!(sandbox.remove_fault(&id) && !sandbox.remove_fault(&id));
    client.expect("RCPT TO:<ann@b.test>", 250).await;
    sandbox.add_fault(Fault::new(AttemptStage::Rcpt, Action::Refuse(RefusalAnswer::of(200)))).unwrap_err();
}

#[tokio::test]
async fn babble_is_a_line_without_end() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    client.send("RCPT TO:<babble@b.test>\r\n").await;
    client.line().await.unwrap_err();
    let attempt = attempts(&sandbox, 1).await.remove(0);
    assert_eq!((attempt.outcome.ending, attempt.outcome.stage), (Ending::Cut, AttemptStage::Rcpt));
}
