//! No untrusted input becomes a command or a second message, even at a server that accepts a bare CR or LF as a line
//! end.

use std::sync::Arc;

use posthaste_courier::Outcome;
use posthaste_model::{Address, Content, Reason, Text};

use crate::house::{envelope, send, transport};
use crate::server::{Kind, Server};

const COMMANDS: &str =
    "MAIL FROM:<evil@mail.example>\r\nRCPT TO:<victim@mail.example>\r\nDATA\r\nSubject: forged\r\n\r\nforged";

/// Bodies that would end a message for some servers.
fn bodies() -> Vec<String> {
    let ends = [
        "\n.\n",
        "\r.\r",
        "\r\n.\r\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\r\n",
        "\n\r.\n\r",
        "\n.\r",
        "\r.\n",
        "\0\r\n.\r\n",
    ];
    let mut bodies: Vec<String> = ends.iter().map(|end| format!("before{end}{COMMANDS}{end}after")).collect();
    for end in ends {
        let (bare, cr) = (COMMANDS.replace("\r\n", "\n"), COMMANDS.replace("\r\n", "\r"));
        bodies.push(format!("x{end}{bare}{end}"));
        bodies.push(format!("{end}{cr}{end}"));
    }
    bodies.push(".".to_owned());
    bodies.push(".\r\n.\r\n..\r\n.".to_owned());
    bodies.push("x".repeat(5_000));
    bodies.push(".".repeat(2_000));
    bodies
}

#[tokio::test]
async fn every_body_is_one_message_and_arrives_whole() {
    for pipelining in [false, true] {
        let server = Server::start(Kind { pipelining, ..Kind::default() }).await;
        let transport = transport(&[server.url()], &[("smtp.messages_per_connection", "1000")]);
        for (at, body) in bodies().into_iter().enumerate() {
            let (text, html) = (Text::new(body.clone()), Text::new(format!("<p>{body}</p>")));
            for content in [
                Content { text: text.clone(), ..Content::default() },
                Content { text, html, ..Content::default() },
            ] {
                let before = server.taken().len();
                let mut message = envelope("a@mail.example");
                message.content = Arc::new(content);
                assert_eq!(send(&transport, &message).await, Outcome::Sent, "body {at}");
                let taken = server.taken();
                assert_eq!(taken.len(), before + 1, "body {at}");
                let mail = &taken[before];
                assert_eq!(
                    (mail.from.as_str(), mail.to.as_slice()),
                    ("no-reply@example.org", ["a@mail.example".to_owned()].as_slice())
                );
                let whole = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned();
                let found = mail.read().body_text(0).map(|text| whole(&text)).unwrap_or_default();
                assert_eq!(found, whole(&body), "body {at}");
                assert!(mail.text.lines().all(|line| line.len() <= 998 && line.is_ascii()));
            }
        }
        let strange: Vec<String> = server
            .verbs()
            .into_iter()
            .filter(|verb| !["EHLO", "MAIL", "RCPT", "DATA"].contains(&verb.as_str()))
            .collect();
        assert_eq!(strange, [""; 0], "no line of a body is a command");
        assert_eq!(server.connections(), 1, "nothing was out of step");
    }
}

#[tokio::test]
async fn addresses_and_headers_that_hold_commands_never_reach_the_server() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[("email.from_domains", "club.example")]);
    for bad in [
        "a@mail.example\r\nRCPT TO:<victim@mail.example>",
        "a@mail.example\rRCPT TO:<victim@mail.example>",
        "a@mail.example\nRCPT TO:<victim@mail.example>",
        "a@mail.example>\r\nDATA",
        "a@mail.example> NOTIFY=NEVER",
        "\"a\r\nDATA\"@mail.example",
        "a@mail.example,victim@mail.example",
        "a@mail.example;victim@mail.example",
        "<a@mail.example>",
        "group: a@mail.example;",
        "a@mail.example\0",
        "-oQ/tmp@mail.example",
        "a@[127.0.0.1]",
        "a@localhost",
        "аня@mail.example",
    ] {
        let mut message = envelope("x@mail.example");
        message.to.address = Address::new(bad);
        assert_eq!(
            send(&transport, &message).await,
            Outcome::Failed(Reason::InvalidAddress.into()),
            "{bad:?}"
        );
    }
    for bad in
        ["x\r\nBcc: victim@mail.example", "x\n.\nQUIT", "x\r\n\r\nbody", "=?utf-8?q?x=0D=0ABcc:=20v@z?="]
    {
        let text = || Text::new(bad);
        for content in [
            Content { subject: text(), ..Content::default() },
            Content { sender_name: text(), from_email: Text::new("a@club.example"), ..Content::default() },
            Content { from_email: text(), ..Content::default() },
            Content { from_email: Text::new(format!("a@club.example{bad}")), ..Content::default() },
            Content { reply_to: text(), ..Content::default() },
            Content { reply_to: Text::new(format!("a@club.example{bad}")), ..Content::default() },
        ] {
            // An encoded word in a subject or a name is encoded once more: it is shown as it is and hides nothing.
            if bad.starts_with("=?")
                && (content.subject.expose() == bad || content.sender_name.expose() == bad)
            {
                continue;
            }
            let mut message = envelope("x@mail.example");
            message.content = Arc::new(Content { text: Text::new("x"), ..content });
            assert_eq!(send(&transport, &message).await, Outcome::Failed(Reason::Rejected.into()), "{bad:?}");
        }
        if bad.starts_with("=?") {
            continue;
        }
        let mut message = envelope("x@mail.example");
        message.to.name = bad.to_owned();
        assert_eq!(send(&transport, &message).await, Outcome::Failed(Reason::Rejected.into()), "{bad:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn names_in_all_scripts_and_domains_of_other_scripts_arrive() {
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &[]);
    let mut message = envelope("post@пример.рф");
    message.to.name = "Жанна \"Ж\" О'Нил, <дочь>; (x)".to_owned();
    let content = Content {
        subject: Text::new("Сбор в 9:00 — не опаздывать! 👋"),
        text: Text::new("Привет"),
        ..Content::default()
    };
    message.content = Arc::new(content.clone());
    assert_eq!(send(&transport, &message).await, Outcome::Sent);
    let taken = server.taken();
    assert_eq!(taken[0].to, ["post@xn--e1afmkfd.xn--p1ai"]);
    let read = taken[0].read();
    let to = read.to().and_then(|to| to.first()).expect("To");
    assert_eq!(to.name(), Some(message.to.name.as_str()));
    assert_eq!(read.subject(), Some(content.subject.expose()));
}
