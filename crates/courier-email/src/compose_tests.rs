//! Messages as bytes: untrusted input can't break out, and every attempt sends the same.

use std::sync::Arc;

use posthaste_model::{Address as DeliveryAddress, Delivery, Text, UnixMs};
use posthaste_ops::config::ByteSize;
use proptest::prelude::*;

use super::*;

fn email() -> EmailSettings {
    EmailSettings {
        from: "Пример <no-reply@example.org>".to_owned(),
        from_domains: vec!["club.example".to_owned()],
        reply_to: String::new(),
        reply_to_domains: vec!["friends.example".to_owned()],
        return_path: String::new(),
        message_id_domain: String::new(),
        subject: "Message".to_owned(),
        auto_submitted: "auto-generated".to_owned(),
        list_id: String::new(),
        list_unsubscribe: Vec::new(),
        one_click: false,
        precedence: String::new(),
        max_size: ByteSize::new(1 << 20),
    }
}

fn composer(email: EmailSettings) -> Composer {
    Composer::new("email".parse().expect("a channel"), email, None, None).expect("a composer")
}

fn envelope(content: Content) -> Envelope {
    Envelope {
        order_id: "u1:1700000000000000001".parse().expect("an order id"),
        parcel: 3,
        delivery: 4,
        attempt: 1,
        to: Delivery {
            index: 1,
            recipient: "r/1".to_owned(),
            name: "Анна, \"A\" <x>".to_owned(),
            address: DeliveryAddress::new("anna@mail.example"),
        },
        content: Arc::new(content),
        due: UnixMs(1_700_000_000_000),
        token: None,
        tries: 0,
        repeat: false,
    }
}

fn saying(text: &str) -> Content {
    Content { text: Text::new(text), ..Content::default() }
}

fn composed(email: EmailSettings, content: Content) -> String {
    let letter = composer(email).compose(&envelope(content)).expect("a message");
    String::from_utf8(letter.text).expect("ASCII")
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The decoded body, in either encoding.
fn decoded(part: &str) -> String {
    use base64::Engine;
    let (head, body) = part.split_once("\r\n\r\n").expect("a head and a body");
    if head.contains("base64") {
        let text: String = body.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        return String::from_utf8(bytes).expect("text");
    }
    assert!(head.contains("quoted-printable"), "{head}");
    let joined = body.replace("=\r\n", "");
    let (mut bytes, mut rest) = (Vec::new(), joined.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' {
            let hex = std::str::from_utf8(&after[..2]).expect("digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("a byte"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("text")
}

#[test]
fn every_attempt_sends_the_same_bytes_under_the_same_name() {
    let content = Content { html: Text::new("<p>Hi</p>"), ..saying("Hi") };
    let first = envelope(content);
    let later = Envelope { attempt: 9, tries: 3, repeat: true, ..first.clone() };
    let composer = composer(email());
    let [first, later] = [&first, &later].map(|envelope| composer.compose(envelope).expect("a message").text);
    assert_eq!(first, later);
    let text = String::from_utf8(first).expect("ASCII");
    assert_eq!(header(&text, "Date"), Some("Tue, 14 Nov 2023 22:13:20 +0000"));
    // Another release must derive the same ids, or a repeat looks like a different message.
    assert_eq!(header(&text, "Message-ID"), Some("<340bece0d0b9d062d32ee767951de586@example.org>"));
}

#[test]
fn plain_and_html_are_two_parts_of_one_message() {
    let content = Content { html: Text::new("<p>Привет</p>"), ..saying("Привет") };
    let text = composed(email(), content);
    assert!(text.contains("Content-Type: multipart/alternative;"), "{text}");
    let boundary =
        text.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boundary");
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4);
    assert!(parts[1].contains("text/plain") && decoded(parts[1].trim_start()).contains("Привет"));
    assert!(parts[2].contains("text/html") && decoded(parts[2].trim_start()).contains("<p>Привет</p>"));
}

#[test]
fn a_text_can_not_end_its_part() {
    let own = MessageIds::of(&envelope(Content::default())).hex();
    let text = format!("a\r\n--=_{own}--\r\n\r\nb");
    let message = composed(email(), Content { html: Text::new("<p>x</p>"), ..saying(&text) });
    assert_eq!(message.matches(&format!("--=_{own}")).count(), 3, "{message}");
}

#[test]
fn the_sender_of_the_order_stands_where_the_settings_allow_it() {
    // As an order of the legacy API, or of a version with one mailbox: From where allowed, else Reply-To.
    let by = |mailbox: &str| Content {
        sender_name: Text::new("Ирина"),
        from_email: Text::new(mailbox),
        reply_to: Text::new(mailbox),
        ..saying("x")
    };
    let own = composed(email(), by("irina@club.example"));
    assert!(header(&own, "From").expect("From").ends_with("<irina@club.example>"), "{own}");
    assert_eq!(header(&own, "Reply-To"), None);
    let friend = composed(email(), by("irina@friends.example"));
    assert!(header(&friend, "From").expect("From").ends_with("<no-reply@example.org>"), "{friend}");
    assert!(header(&friend, "Reply-To").expect("Reply-To").ends_with("<irina@friends.example>"));
    let stranger = composed(email(), by("irina@elsewhere.example"));
    assert!(!stranger.contains("elsewhere"), "{stranger}");
    let any = EmailSettings { reply_to_domains: vec!["*".to_owned()], ..email() };
    assert!(composed(any, by("irina@elsewhere.example")).contains("Reply-To: "));
    let sub = composed(email(), by("irina@x.club.example"));
    assert!(!sub.contains("x.club.example"), "a subdomain of an allowed domain is not allowed");
}

#[test]
fn from_and_reply_to_of_an_order_are_independent() {
    let (club, friend, stranger) = ("irina@club.example", "irina@friends.example", "irina@elsewhere.example");
    let (own, default_box) = ("no-reply@example.org", "office@example.org");
    let default_box_replies = EmailSettings { reply_to: default_box.to_owned(), ..email() };
    for (from_email, reply_to, from, replies, default_box_replies_to) in [
        ("", "", own, None, Some(default_box)),
        (club, "", club, None, Some(default_box)),
        ("", friend, own, Some(friend), Some(friend)),
        ("", club, own, Some(club), Some(club)),
        (club, friend, club, Some(friend), Some(friend)),
        (club, club, club, None, None),
        // Not allowed in From, and never moved to Reply-To.
        (friend, "", own, None, Some(default_box)),
        (friend, club, own, Some(club), Some(club)),
        (stranger, stranger, own, None, Some(default_box)),
        (club, stranger, club, None, Some(default_box)),
    ] {
        let content = Content {
            sender_name: Text::new("Irina"),
            from_email: Text::new(from_email),
            reply_to: Text::new(reply_to),
            ..saying("x")
        };
        let shown = |mailbox: &str| match mailbox {
            _ if mailbox == default_box => default_box.to_owned(),
            _ => format!("Irina <{mailbox}>"),
        };
        for (settings, replies) in [(email(), replies), (default_box_replies.clone(), default_box_replies_to)]
        {
            let message = composed(settings, content.clone());
            let found = header(&message, "From").expect("From");
            if from == own {
                // The order's name, unless its mailbox was replaced.
                let is_named = from_email.is_empty();
                assert_eq!(found.contains("Irina"), is_named, "{message}");
                assert!(found.ends_with("<no-reply@example.org>"), "{message}");
            } else {
                assert_eq!(found, shown(from), "{message}");
            }
            assert_eq!(header(&message, "Reply-To").map(str::to_owned), replies.map(shown), "{message}");
        }
    }
    let nameless = composed(email(), Content { reply_to: Text::new(friend), ..saying("x") });
    assert_eq!(header(&nameless, "Reply-To"), Some(friend));
}

#[test]
fn headers_of_lists_are_those_of_the_settings() {
    let email = EmailSettings {
        list_id: "Members <members.example.org>".to_owned(),
        list_unsubscribe: vec![
            "https://example.org/u/{message}?o={order}&r={recipient}".to_owned(),
            "mailto:leave@example.org".to_owned(),
        ],
        one_click: true,
        precedence: "bulk".to_owned(),
        ..email()
    };
    let text = composed(email, saying("x"));
    let unfolded = text.replace("\r\n ", " ");
    let id = MessageIds::of(&envelope(Content::default())).hex();
    let expected = format!(
        "List-Unsubscribe: <https://example.org/u/{id}?o=u1.1700000000000000001&r=r%2F1>, <mailto:leave@example.org>"
    );
    assert!(unfolded.contains(&expected), "{unfolded}");
    for line in [
        "Auto-Submitted: auto-generated",
        "List-Id: Members <members.example.org>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Precedence: bulk",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
    }
}

#[test]
fn words_and_addresses_that_would_be_headers_or_commands_are_refused() {
    let composer = composer(email());
    let refused = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = envelope(saying("x"));
        change(&mut envelope);
        composer.compose(&envelope).err()
    };
    let content = |content: Content| refused(&|envelope| envelope.content = Arc::new(content.clone()));
    assert_eq!(refused(&|_| {}), None);
    for bad in ["x\r\nBcc: v@z.zz", "x\nBcc: v@z.zz", "x\r", "x\0"] {
        let subject = Content { subject: Text::new(bad), ..saying("x") };
        assert_eq!(content(subject), Some(Reason::Rejected), "{bad:?}");
        let name =
            Content { sender_name: Text::new(bad), from_email: Text::new("a@club.example"), ..saying("x") };
        assert_eq!(content(name), Some(Reason::Rejected), "{bad:?}");
        assert_eq!(refused(&|envelope| envelope.to.name = bad.to_owned()), Some(Reason::Rejected), "{bad:?}");
        let mailbox = format!("a@club.example{bad}");
        let sender = Content { from_email: Text::new(mailbox.clone()), ..saying("x") };
        assert_eq!(content(sender), Some(Reason::Rejected), "{bad:?}");
        let replies = Content { reply_to: Text::new(mailbox.clone()), ..saying("x") };
        assert_eq!(content(replies), Some(Reason::Rejected), "{bad:?}");
        let to = refused(&|envelope| envelope.to.address = DeliveryAddress::new(mailbox.clone()));
        assert_eq!(to, Some(Reason::InvalidAddress), "{bad:?}");
    }
    let long = Content { subject: Text::new("я".repeat(600)), ..saying("x") };
    assert_eq!(content(long), Some(Reason::Rejected));
    assert_eq!(content(saying(&"x".repeat(1 << 20))), Some(Reason::Rejected), "over max_size");
}

/// The header as a reader shows it.
fn shown(message: &str, header: &str) -> String {
    use mail_parser::MessageParser;
    let read = MessageParser::default().parse(message).expect("a message");
    let name = |list: Option<&mail_parser::Address<'_>>| {
        list.and_then(|list| list.first()).and_then(|one| one.name()).unwrap_or_default().to_owned()
    };
    match header {
        "From" => name(read.from()),
        "To" => name(read.to()),
        _ => read.subject().unwrap_or_default().to_owned(),
    }
}

#[test]
fn subjects_and_names_are_shown_as_they_were_given() {
    let (emoji, faces) = ("😀".repeat(255), "😀".repeat(256));
    for words in [
        "Привет  мир",
        "Сбор   в  9",
        "a  b",
        " a ",
        "What is 2+2=? and why?=",
        "=?UTF-8?Q?Anna?=",
        "=?utf-8?b?DQo=?=",
        "Анна, \"A\" <x>",
        "O'Brien \\ Sons; (c)",
        "Ann Lee",
        "word ".repeat(50).trim_end(),
        &"x".repeat(255),
        &emoji,
    ] {
        let mut envelope = envelope(Content {
            subject: Text::new(words),
            sender_name: Text::new(words),
            from_email: Text::new("a@club.example"),
            ..saying("x")
        });
        envelope.to.name = words.to_owned();
        let letter = composer(email()).compose(&envelope).expect(words);
        let message = String::from_utf8(letter.text).expect("ASCII");
        for header in ["Subject", "From", "To"] {
            assert_eq!(shown(&message, header).trim(), words.trim(), "{header} in {message}");
        }
        let head = message.split("\r\n\r\n").next().unwrap_or_default();
        assert!(words.len() < 300 || head.lines().all(|line| line.len() <= 78), "{head}");
    }
    let named = Content { sender_name: Text::new(faces.clone()), ..saying("x") };
    assert_eq!(shown(&composed(email(), named), "From"), faces);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refused = |email: EmailSettings| {
        Composer::new("email".parse().expect("a channel"), email, None, None).err().map(|bad| bad.key)
    };
    assert_eq!(refused(email()), None);
    for (key, email) in [
        ("email.from", EmailSettings { from: "nobody".to_owned(), ..email() }),
        ("email.reply_to", EmailSettings { reply_to: "a@b".to_owned(), ..email() }),
        ("email.return_path", EmailSettings { return_path: "A <a@b.cd>".to_owned(), ..email() }),
        ("email.message_id_domain", EmailSettings { message_id_domain: "x".to_owned(), ..email() }),
        ("email.from_domains", EmailSettings { from_domains: vec!["*".to_owned()], ..email() }),
        ("email.list_id", EmailSettings { list_id: "a\r\nb".to_owned(), ..email() }),
        (
            "email.list_unsubscribe",
            EmailSettings { list_unsubscribe: vec!["http://x".to_owned()], ..email() },
        ),
        (
            "email.list_unsubscribe",
            EmailSettings { list_unsubscribe: vec!["https://x/{who}".to_owned()], ..email() },
        ),
        (
            "email.list_unsubscribe",
            EmailSettings { list_unsubscribe: vec!["https://x/>,<y".to_owned()], ..email() },
        ),
        ("email.one_click", EmailSettings { one_click: true, ..email() }),
    ] {
        assert_eq!(refused(email), Some(key));
    }
}

#[test]
fn the_last_look_sees_what_may_not_leave() {
    for good in ["", "a", "a\r\nb", "a\r\n", ".\r\n.", &"x".repeat(998)] {
        assert!(is_safe(good.as_bytes()), "{good:?}");
    }
    for bad in ["a\nb", "a\rb", "a\r", "\n", "a\0", "я", "a\r\r\nb", "a\n\r\nb", &"x".repeat(999)] {
        assert!(!is_safe(bad.as_bytes()), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_text_arrives_as_it_was_and_nothing_of_it_gets_out(
        text in "[a-z.\\r\\n\\t =я\\x00\\x1b]{0,200}",
        html in "[a-z<>.\\r\\n =ю]{0,80}",
    ) {
        let plain = Content { text: Text::new(text.clone()), ..Content::default() };
        let message = composed(email(), plain);
        prop_assert!(is_safe(message.as_bytes()));
        let wanted = text.replace("\r\n", "\n").replace('\r', "\n");
        let found = decoded(&message).replace("\r\n", "\n");
        prop_assert_eq!(found.trim_end_matches('\n'), wanted.trim_end_matches('\n'));
        let both = Content { text: Text::new(text), html: Text::new(html), ..Content::default() };
        let message = composed(email(), both);
        prop_assert!(is_safe(message.as_bytes()));
    }

    #[test]
    fn a_message_is_never_larger_than_acceptance_reckons(
        text in "[a-z =я\\n]{0,3000}|=*|\\n{0,500}| {0,500}|\\PC{0,300}",
        html in "[ -~]{0,2000}|[ \\n]{0,900}|\\PC{0,300}",
    ) {
        let content = Content { text: Text::new(text), html: Text::new(html), ..Content::default() };
        let channel = "email".parse().expect("a channel");
        // Without the room for headers.
        let most = email_body::most_bytes(&content, &channel) - 15 * 1024;
        let message = composed(email(), content);
        prop_assert!(message.len() <= most, "{} of {most}", message.len());
    }

    #[test]
    fn any_words_make_a_message_or_none(subject in "\\PC{0,80}|[ -~\\r\\n]{0,300}", name in "\\PC{0,60}", address in "\\PC{0,40}@\\PC{0,40}") {
        let mut envelope = envelope(Content { subject: Text::new(subject), ..saying("x") });
        envelope.to.name = name;
        if let Ok(letter) = composer(email()).compose(&envelope) {
            prop_assert!(is_safe(&letter.text));
            let text = String::from_utf8(letter.text).expect("ASCII");
            let head = text.split("\r\n\r\n").next().unwrap_or_default();
            for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
                let name = line.split(':').next().unwrap_or_default();
                let known = ["From", "To", "Subject", "Date", "Message-ID", "X-Posthaste-Order", "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];
                prop_assert!(known.contains(&name), "{}", line);
            }
        }
        envelope.to.address = DeliveryAddress::new(address);
        let _ = composer(email()).compose(&envelope);
    }
}
