//! The e-mail channel with the distribution's Postfix, which the test starts on a loopback port, with its own folder
//! for settings, queue and mailboxes. Needs the package `postfix` (not running) and root, which its master process
//! requires:
//!
//! ```text
//! cargo test -p posthaste-courier-email --test postfix
//! ```

#[path = "../it/house.rs"]
mod house;
mod postfix;
mod returns;
#[expect(dead_code, reason = "shared with the other tests")]
#[path = "../it/served.rs"]
mod served;

use std::sync::Arc;

use mail_parser::MessageParser;
use posthaste_courier::{Outcome, Transport};
use posthaste_model::{Content, Reason, Text};
use posthaste_rig::eventually;

use house::{coded, envelope, send, transport};
use postfix::Postfix;

fn saying(text: &str) -> Arc<Content> {
    Arc::new(Content {
        text: Text::new(text),
        html: Text::new(format!("<p>{text}</p>")),
        ..Content::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_takes_is_in_the_mailbox_as_it_was_written() {
    let postfix = Postfix::start();
    let transport = transport(&[postfix.plain()], &[("smtp.messages_per_connection", "1000")]);
    let commands = "MAIL FROM:<x@example.org>\r\nRCPT TO:<b@mail.example>\r\nDATA\r\n\r\nforged";
    let mut texts: Vec<String> = ["\n.\n", "\r.\r", "\r\n.\r\n", "\n.\r\n", "\r\n.\n", "\r.\n"]
        .iter()
        .enumerate()
        .map(|(at, end)| format!("{at} before{end}{commands}{end}after"))
        .collect();
    texts.extend([
        ".".to_owned(),
        "x".repeat(5_000),
        "Здравствуйте! 👋\n..\nFrom here".to_owned(),
        "a\0b".to_owned(),
    ]);
    for text in &texts {
        let mut message = envelope("a@mail.example");
        message.content = saying(text);
        assert_eq!(send(&transport, &message).await, Outcome::Sent);
    }
    let mails = eventually("all messages in the mailbox", || {
        let mails = postfix.mailbox("a");
        if mails.len() == texts.len() { Ok(mails) } else { Err(mails.len()) }
    });
    let whole = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned();
    for text in &texts {
        let is_it = |mail: &String| {
            let mail = MessageParser::default().parse(mail).expect("a message");
            mail.body_text(0).is_some_and(|found| whole(&found) == whole(text))
        };
        assert_eq!(mails.iter().filter(|mail| is_it(mail)).count(), 1, "{text:?}");
    }
    assert_eq!(postfix.mailbox("b"), [""; 0], "nothing was smuggled");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_replies_are_understood() {
    let postfix = Postfix::start();
    let transport = transport(&[postfix.plain()], &[]);
    let unknown = coded(&transport, &envelope("nobody@mail.example")).await;
    assert_eq!(unknown.code().to_string(), "550 5.1.1");
    assert_eq!(unknown.uncoded(), Outcome::HardRefusal(Reason::InvalidAddress.into()));
    let elsewhere = coded(&transport, &envelope("a@elsewhere.example")).await;
    assert_eq!(elsewhere.code().to_string(), "554 5.7.1");
    assert_eq!(
        elsewhere.uncoded(),
        Outcome::Failed(Reason::Rejected.into()),
        "relaying is denied by 554 5.7.1"
    );
    let mut big = envelope("a@mail.example");
    big.content = saying(&"A long line of a long message.\n".repeat(20_000));
    let big = coded(&transport, &big).await;
    assert_eq!(big.code().to_string(), "552 5.3.4");
    assert_eq!(big.uncoded(), Outcome::Failed(Reason::Rejected.into()), "552 5.3.4");
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_under_its_tls() {
    let postfix = Postfix::start();
    let ca = postfix.ca();
    let transport = transport(&[postfix.tls()], &[("smtp.ca_file", ca.as_str())]);
    assert_eq!(transport.check().await, Ok(()));
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    let mails = eventually("the message in the mailbox", || {
        let mails = postfix.mailbox("a");
        if mails.len() == 1 { Ok(mails) } else { Err(mails.len()) }
    });
    assert!(mails[0].contains("with ESMTPS"), "{}", mails[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_absence_loses_nothing() {
    let mut postfix = Postfix::start();
    let transport = transport(&[postfix.plain()], &[]);
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    postfix.stop();
    let outcome = send(&transport, &envelope("a@mail.example")).await;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
    assert!(transport.check().await.is_err());
    postfix.start_again();
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
}
