//! The bounce server with all kinds of clients: it accepts valid bounces, and can't be made to do anything else.

use posthaste_courier::Outcome;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::client::{BOUNCES, Client, report};
use crate::house::{envelope, send, transport};
use crate::served::Served;
use crate::server::Server;

/// A transport that listens, and return paths of messages that it sent.
async fn start(messages: usize, more: &[(&str, &str)]) -> (Served, Vec<String>) {
    let server = Server::plain().await;
    let settings: Vec<_> = BOUNCES.iter().chain(more).copied().collect();
    let served = Served::start(transport(&[server.url()], &settings)).await;
    for _ in 0..messages {
        assert_eq!(send(&served.email, &envelope("anna@mail.example")).await, Outcome::Sent);
    }
    (served, server.taken().into_iter().map(|mail| mail.from).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_for_each_recipient_by_lmtp_and_once_by_smtp() {
    let (served, to) = start(3, &[]).await;
    let message = report("failed", "5.1.1");
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut lmtp = Client::open(served.bounces()).await;
    lmtp.greet("LHLO").await;
    assert_eq!(lmtp.bring("", &to, &message).await.len(), 3);
    assert_eq!(lmtp.bring("MAILER-DAEMON@mx.example.net", &to[..1], &message).await.len(), 1);
    assert_eq!(lmtp.ask("QUIT").await, "221 2.0.0 bye\r\n");
    assert_eq!(served.sink.receipts().len(), 4);
    let mut smtp = Client::open(served.bounces()).await;
    assert_eq!(smtp.ask("HELO mx").await, "250 posthaste\r\n");
    smtp.greet("EHLO").await;
    // All commands in one write, as PIPELINING allows; two recipients, one reply.
    let text = message.replace('\n', "\r\n");
    let commands = format!(
        "MAIL FROM:<> SIZE=1000 BODY=8BITMIME RET=HDRS\r\nRCPT TO:<{}> NOTIFY=NEVER\r\nRCPT TO:<@a.example:{}>\r\n\
         DATA\r\n{text}\r\n.\r\nNOOP\r\nQUIT\r\n",
        to[0], to[1]
    );
    smtp.write(commands.as_bytes()).await;
    for wanted in ["250 2.1.0", "250 2.1.5", "250 2.1.5", "354", "250 2.0.0 accepted", "250 2.0.0 ok", "221"]
    {
        let reply = smtp.reply().await;
        assert!(reply.starts_with(wanted), "{reply}");
    }
    assert_eq!(served.sink.receipts().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_were_not_made_here_are_refused_before_the_text() {
    let (served, to) = start(1, &[]).await;
    let mut client = Client::open(served.bounces()).await;
    client.greet("LHLO").await;
    assert!(client.ask("MAIL FROM:<>").await.starts_with("250"));
    let (local, domain) = to[0].split_once('@').unwrap();
    let mut forged = local.to_owned();
    let last = if forged.pop() == Some('a') { 'b' } else { 'a' };
    forged.push(last);
    for to in [
        format!("{forged}@{domain}"),
        format!("{}@{domain}", &local[..local.len() - 8]),
        format!("{local}@mail.example"),
        format!("{local}%mail.example@{domain}"),
        format!("{}@{domain}", local.replace("bounces+", "bounces-")),
        format!("bounces@{domain}"),
        format!("postmaster@{domain}"),
        "anna@mail.example".to_owned(),
        "postmaster".to_owned(),
        String::new(),
    ] {
        assert_eq!(client.ask(&format!("RCPT TO:<{to}>")).await, "550 5.1.1 no such return path\r\n", "{to}");
    }
    assert!(client.ask("DATA").await.starts_with("503 5.5.1"), "there is no recipient");
    assert!(served.sink.receipts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_out_of_place_and_lines_without_sense_are_refused() {
    let (served, to) = start(1, &[("bounces.max_size", "1MiB")]).await;
    let mut client = Client::open(served.bounces()).await;
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"), "no greeting yet");
    client.greet("LHLO").await;
    for (line, code) in [
        ("RCPT TO:<a@b.cd>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:<> SIZE=99999999", "552"),
        ("MAIL FROM:<> SIZE=x", "501"),
        ("MAIL FROM:<> WHAT=x", "501"),
        ("MAIL FROM:", "501"),
        ("MAIL", "501"),
        ("LHLO", "501"),
        ("VRFY anna", "502"),
        ("EXPN list", "502"),
        ("AUTH PLAIN AGEAYg==", "502"),
        ("STARTTLS", "502"),
        ("BDAT 3 LAST", "502"),
        ("HELP", "502"),
        ("WHAT", "502"),
        ("", "502"),
        ("\u{1f4a3}", "502"),
        ("NOOP\0", "500"),
        ("NOOP\rQUIT", "500"),
        ("NOOP\nQUIT", "500"),
        ("NOOP", "250"),
        ("RSET", "250"),
    ] {
        let reply = client.ask(line).await;
        assert!(reply.starts_with(code), "{line:?}: {reply}");
        assert!(
            !reply.contains("anna") && !reply.contains("WHAT"),
            "what was said is not said back: {reply}"
        );
    }
    assert!(client.ask("MAIL FROM:<>").await.starts_with("250"));
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"), "one at a time");
    for _ in 0..100 {
        assert!(client.ask(&format!("RCPT TO:<{}>", to[0])).await.starts_with("250"));
    }
    assert!(client.ask(&format!("RCPT TO:<{}>", to[0])).await.starts_with("452"));
    // A client that only makes mistakes is disconnected.
    let mut last = String::new();
    for _ in 0..60 {
        last = client.ask("WHAT").await;
        if !last.starts_with("502") {
            break;
        }
    }
    assert!(last.contains("502 ") || last.starts_with("421"), "{last}");
    let mut endless = Client::open(served.bounces()).await;
    endless.write(&[b'x'; 5_000]).await;
    assert_eq!(endless.reply().await, "", "a line without end closes the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_report_is_read_at_its_beginning_and_a_larger_one_refused() {
    let sizes = [("bounces.max_parsed_size", "64KiB"), ("bounces.max_size", "2MiB")];
    let (served, to) = start(1, &sizes).await;
    let with = |bytes: usize| {
        let line = "The message that came back.\n";
        report("failed", "5.1.1").replace("Hello\n", &line.repeat(bytes / line.len()))
    };
    let mut client = Client::open(served.bounces()).await;
    client.greet("LHLO").await;
    assert_eq!(client.bring("", &[&to[0]], &with(1 << 20)).await, ["250 2.0.0 accepted\r\n"]);
    assert_eq!(served.sink.receipts().len(), 1);
    assert!(client.bring("", &[&to[0]], &with(3 << 20)).await[0].starts_with("552 5.3.4"));
    // Its report is beyond the part that is parsed.
    let late = report("failed", "5.1.1").replace("It did not work.", &"Sorry.\n".repeat(20_000));
    assert_eq!(client.bring("", &[&to[0]], &late).await, ["250 2.0.0 accepted\r\n"]);
    assert_eq!(client.bring("", &[&to[0]], &report("failed", "5.1.1")).await, ["250 2.0.0 accepted\r\n"]);
    assert_eq!(served.sink.receipts().len(), 2, "replies are still in step");
    // A message without end is cut off.
    client.ask("MAIL FROM:<>").await;
    client.ask(&format!("RCPT TO:<{}>", to[0])).await;
    client.ask("DATA").await;
    let flood = async {
        use tokio::io::AsyncWriteExt;
        while client.0.get_mut().write_all(&[b'x'; 65_536]).await.is_ok() {}
    };
    tokio::time::timeout(posthaste_rig::patience(), flood).await.expect("an end of it");
    assert_eq!(served.sink.receipts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_ends_early_and_none_holds_a_second_message() {
    let (served, to) = start(1, &[]).await;
    let smuggled = format!("MAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\n{}", to[0], report("delivered", "2.0.0"));
    let mut client = Client::open(served.bounces()).await;
    client.greet("LHLO").await;
    let ends = ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n\r.\n\r", "\0\r\n.\r\0\n"];
    for (at, end) in ends.into_iter().enumerate() {
        client.ask("MAIL FROM:<>").await;
        client.ask(&format!("RCPT TO:<{}>", to[0])).await;
        assert!(client.ask("DATA").await.starts_with("354"));
        let text = report("failed", "5.1.1").replace('\n', "\r\n");
        client.write(format!("{text}{end}{smuggled}{end}\r\n.\r\n").as_bytes()).await;
        assert_eq!(client.reply().await, "250 2.0.0 accepted\r\n", "{end:?}");
        assert_eq!(client.ask("NOOP").await, "250 2.0.0 ok\r\n", "{end:?}: one answer and no more");
        assert_eq!(served.sink.receipts().len(), at + 1, "{end:?}");
    }
    // An empty text, and one whose lines begin with dots.
    for text in [".\r\n", "..\r\n...\r\n.\r\n"] {
        client.ask("MAIL FROM:<>").await;
        client.ask(&format!("RCPT TO:<{}>", to[0])).await;
        client.ask("DATA").await;
        client.write(text.as_bytes()).await;
        assert_eq!(client.reply().await, "250 2.0.0 accepted\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_stop_it_from_taking_the_next_bounce() {
    let (served, to) = start(1, &[]).await;
    let (address, handle) = (served.bounces(), tokio::runtime::Handle::current());
    let lines = prop::collection::vec(
        prop_oneof![
            "[ -~]{0,60}",
            "(LHLO|EHLO|MAIL FROM:|RCPT TO:|DATA|RSET|BDAT|AUTH)[ -~]{0,40}",
            "\\PC{0,40}",
            Just(format!("RCPT TO:<{}>", to[0])),
            Just("MAIL FROM:<>".to_owned()),
            Just("DATA".to_owned()),
            Just(".".to_owned()),
        ],
        0..30,
    );
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    tokio::task::block_in_place(|| {
        let result = runner.run(&(lines, any::<Vec<u8>>()), |(lines, bytes)| {
            handle.block_on(async {
                use tokio::io::AsyncWriteExt;
                let mut client = Client::open(address).await;
                let talk = [b"LHLO x\r\n", lines.join("\r\n").as_bytes(), &bytes[..]].concat();
                // It may have closed the connection already.
                let _ = client.0.get_mut().write_all(&talk).await;
                let _ = client.0.get_mut().shutdown().await;
                while !client.reply().await.is_empty() {}
            });
            Ok(())
        });
        result.unwrap();
    });
    let before = served.sink.receipts().len();
    assert!(served.bring(&to[0], &report("failed", "5.1.1")).await.starts_with("250"));
    assert_eq!(served.sink.receipts().len(), before + 1);
}

/// 957 KB of nested message heads once crashed the process, and the mail server delivered them again.
#[tokio::test(flavor = "multi_thread")]
async fn messages_within_messages_by_the_thousand_are_taken_and_say_nothing() {
    let (served, to) = start(1, &[]).await;
    let bomb = "Content-Type:message/rfc822\n\n".repeat(33_000);
    let multiparts: String =
        (0..20_000).map(|n| format!("Content-Type:multipart/mixed;boundary=b{n}\n\n--b{n}\n")).collect();
    let report_with = |inside: &str| report("failed", "5.1.1").replace("Subject: News\n\nHello\n", inside);
    for hostile in [&bomb, &multiparts] {
        assert_eq!(served.bring(&to[0], hostile).await, "250 2.0.0 accepted\r\n");
        assert!(served.sink.receipts().is_empty());
    }
    for (at, hostile) in [&bomb, &multiparts].into_iter().enumerate() {
        assert_eq!(served.bring(&to[0], &report_with(hostile)).await, "250 2.0.0 accepted\r\n");
        assert_eq!(served.sink.receipts().len(), at + 1, "the report is stored");
    }
}

/// A connection in the middle of a message, which does not count as idle.
async fn busy(served: &Served, from: &str, to: &str) -> Client {
    let mut client = greeted_from(served, from).await;
    assert!(client.reply().await.starts_with("220 "));
    client.greet("LHLO").await;
    for line in ["MAIL FROM:<>", &format!("RCPT TO:<{to}>"), "DATA"] {
        assert!(client.ask(line).await.starts_with(['2', '3']), "{line}");
    }
    client
}

/// A new connection from this address of the machine.
async fn greeted_from(served: &Served, from: &str) -> Client {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("bound");
    Client(tokio::io::BufReader::new(socket.connect(served.bounces()).await.expect("connected")))
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_beyond_the_number_wait() {
    let (served, to) = start(1, &[("bounces.max_connections", "1")]).await;
    let first = busy(&served, "127.0.0.1", &to[0]).await;
    let mut second = greeted_from(&served, "127.0.0.1").await;
    let mut byte = [0];
    let early = tokio::io::AsyncReadExt::read(&mut second.0, &mut byte);
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), early).await;
    assert!(early.is_err(), "it was greeted although the limit was reached");
    drop(first);
    assert!(second.reply().await.starts_with("220"));
    second.greet("LHLO").await;
    assert_eq!(second.bring("", &[&to[0]], &report("failed", "5.1.1")).await, ["250 2.0.0 accepted\r\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_conversations_keep_nobody_waiting() {
    for (all, per_peer) in [("5", "20"), ("20", "5")] {
        let most = [("bounces.max_connections", all), ("bounces.max_connections_per_peer", per_peer)];
        let (served, to) = start(1, &most).await;
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(Client::open(served.bounces()).await);
        }
        silent[0].greet("LHLO").await;
        let report = report("failed", "5.1.1");
        let deadline = std::time::Instant::now() + posthaste_rig::patience();
        // A peer over its limit is refused until one of its own connections has been idle for long enough.
        let taken = loop {
            let mut next = greeted_from(&served, "127.0.0.1").await;
            let greeting = next.reply().await;
            if greeting.starts_with("220 ") {
                next.greet("LHLO").await;
                break next.bring("", &[&to[0]], &report).await;
            }
            assert!(greeting.starts_with("421 4.7.0"), "{greeting}");
            assert!(std::time::Instant::now() < deadline, "idle connections are not replaced");
        };
        assert_eq!(taken, ["250 2.0.0 accepted\r\n"]);
        // The one that was idle the longest was closed: the first one was active last.
        assert_eq!(silent[1].reply().await, "421 4.3.2 idle while others wait\r\n");
        assert_eq!(silent[0].ask("NOOP").await, "250 2.0.0 ok\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_leaves_places_to_others() {
    let most = [("bounces.max_connections", "20"), ("bounces.max_connections_per_peer", "3")];
    let (served, to) = start(1, &most).await;
    let mut of_one = Vec::new();
    for _ in 0..3 {
        of_one.push(busy(&served, "127.0.0.1", &to[0]).await);
    }
    let mut refused = greeted_from(&served, "127.0.0.1").await;
    assert_eq!(refused.reply().await, "421 4.7.0 too many connections from your address\r\n");
    assert_eq!(refused.reply().await, "", "and is closed");
    let mut other = busy(&served, "127.0.0.2", &to[0]).await;
    other.write(b".\r\n").await;
    assert_eq!(other.reply().await, "250 2.0.0 accepted\r\n");
    of_one.pop();
    posthaste_rig::eventually("a place that was left", || {
        let connected = std::net::TcpStream::connect(served.bounces()).map_err(|error| error.to_string())?;
        let mut greeting = String::new();
        let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(connected), &mut greeting);
        read.map_err(|error| error.to_string())?;
        if greeting.starts_with("220 ") { Ok(()) } else { Err(greeting) }
    });
}
