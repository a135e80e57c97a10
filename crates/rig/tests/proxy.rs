//! The fault proxy in front of a real server.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use posthaste_rig::proxy::{LateCopy, Traffic};
use posthaste_rig::{Connection, PrivateServer, Proxy, RespReply, eventually};

fn pair() -> (PrivateServer, Proxy) {
    let server = PrivateServer::start().expect("a server");
    let proxy = Proxy::tcp(server.endpoint(), Traffic::Resp).expect("a proxy");
    (server, proxy)
}

fn client(proxy: &Proxy) -> Connection {
    Connection::open(proxy.endpoint()).expect("a connection")
}

fn value(server: &PrivateServer, key: &str) -> Option<String> {
    server.command(&["GET", key]).expect("a reply").text().map(str::to_owned)
}

#[test]
fn forwards_commands_pipelines_and_large_values() {
    let (server, proxy) = pair();
    let mut connection = client(&proxy);
    let large = "x".repeat(3_000_000);
    assert_eq!(connection.command(&["SET", "big", &large]).expect("a reply").text(), Some("OK"));
    assert_eq!(
        connection.command(&["GET", "big"]).expect("a reply").bytes().map(<[u8]>::len),
        Some(3_000_000)
    );
    for _ in 0..1000 {
        connection.send(&["INCR", "n"]).expect("sent");
    }
    for i in 1..=1000 {
        assert_eq!(connection.receive().expect("a reply"), RespReply::Int(i));
    }
    assert_eq!(value(&server, "n").as_deref(), Some("1000"));
    let report = proxy.report();
    assert_eq!((report.connections, report.commands, report.forwarded), (1, 1002, 1002));
}

#[test]
fn a_unix_socket_in_front_of_a_port() {
    let server = PrivateServer::builder().tcp().start().expect("a server");
    let proxy = Proxy::unix(server.tcp_addr().expect("an address"), Traffic::Resp).expect("a proxy");
    assert!(proxy.url().starts_with("redis+unix:///"), "{}", proxy.url());
    assert_eq!(client(&proxy).command(&["INCR", "n"]).expect("a reply"), RespReply::Int(1));
}

#[test]
fn events_pass() {
    let (server, proxy) = pair();
    let mut subscriber = client(&proxy);
    subscriber.command(&["SUBSCRIBE", "news"]).expect("a reply");
    server.command(&["PUBLISH", "news", "hello"]).expect("a reply");
    assert_eq!(subscriber.receive().expect("a message").items()[2].text(), Some("hello"));
}

#[test]
fn latency_delays_answers_and_keeps_their_order() {
    let (_server, proxy) = pair();
    let mut connection = client(&proxy);
    connection.command(&["PING"]).expect("a reply");
    let latency = Duration::from_millis(60);
    proxy.set_latency(latency);
    let begun = Instant::now();
    for _ in 0..100 {
        connection.send(&["INCR", "n"]).expect("sent");
    }
    for i in 1..=100 {
        assert_eq!(connection.receive().expect("a reply"), RespReply::Int(i));
    }
    let took = begun.elapsed();
    assert!(took >= latency, "{took:?}");
    assert!(took < latency * 100, "the delay is not paid once per command: {took:?}");
}

#[test]
fn a_cut_ends_open_connections_and_serves_new_ones() {
    let (_server, proxy) = pair();
    let mut connection = client(&proxy);
    connection.command(&["PING"]).expect("a reply");
    proxy.cut();
    let error = connection.receive().expect_err("cut");
    assert!(!error.is_timeout(), "{error}");
    client(&proxy).command(&["PING"]).expect("a reply");
}

#[test]
fn a_black_hole_hangs_and_heals() {
    let (server, proxy) = pair();
    let mut old = client(&proxy);
    old.command(&["PING"]).expect("a reply");
    proxy.black_hole();
    old.send(&["INCR", "n"]).expect("sent");
    let mut new = client(&proxy);
    new.send(&["INCR", "n"]).expect("sent");
    for connection in [&mut old, &mut new] {
        assert_eq!(connection.receive_within(Duration::from_millis(30)).expect("open"), None);
    }
    assert_eq!(value(&server, "n"), None);
    proxy.heal();
    let mut answers = [old.receive().expect("a reply"), new.receive().expect("a reply")];
    answers.sort();
    assert_eq!(answers, [RespReply::Int(1), RespReply::Int(2)]);
}

#[test]
fn refusal_hits_new_connections_only() {
    let (_server, proxy) = pair();
    let mut old = client(&proxy);
    old.command(&["PING"]).expect("a reply");
    proxy.refuse();
    let refused = Connection::open(proxy.endpoint()).and_then(|mut new| new.command(&["PING"]));
    assert!(!refused.expect_err("refused").is_timeout());
    old.command(&["PING"]).expect("a reply");
    proxy.heal();
    client(&proxy).command(&["PING"]).expect("a reply");
}

#[test]
fn a_dropped_reply_belongs_to_a_command_that_happened() {
    let (server, proxy) = pair();
    let mut connection = client(&proxy);
    connection.command(&["INCR", "n"]).expect("a reply");
    proxy.drop_replies_of(1, |command| command.is("incr") && command.contains("n"));
    // Answers before the lost one arrive, those after it do not.
    connection.send(&["GET", "n"]).expect("sent");
    connection.send(&["INCR", "n"]).expect("sent");
    connection.send(&["GET", "n"]).expect("sent");
    assert_eq!(connection.receive().expect("a reply").text(), Some("1"));
    assert!(!connection.receive().expect_err("the answer is lost").is_timeout());
    assert_eq!(value(&server, "n").as_deref(), Some("2"));
    assert_eq!(client(&proxy).command(&["INCR", "n"]).expect("a reply"), RespReply::Int(3));
    assert_eq!(proxy.report().dropped_replies, 1);
}

#[test]
fn the_next_replies_are_dropped_whatever_they_answer() {
    let (server, proxy) = pair();
    proxy.drop_replies(2);
    for _ in 0..2 {
        client(&proxy).command(&["INCR", "n"]).expect_err("the answer is lost");
    }
    assert_eq!(client(&proxy).command(&["INCR", "n"]).expect("a reply"), RespReply::Int(3));
    assert_eq!(value(&server, "n").as_deref(), Some("3"));
}

#[test]
fn a_large_lost_reply_shows_no_first_byte() {
    let (server, proxy) = pair();
    server.command(&["SET", "big", &"x".repeat(2_000_000)]).expect("a reply");
    proxy.drop_replies_of(1, |command| command.is("GET"));
    let Some(addr) = proxy.addr() else { panic!("a TCP proxy has an address") };
    let mut socket = std::net::TcpStream::connect(addr).expect("a connection");
    socket.write_all(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n").expect("sent");
    let mut seen = Vec::new();
    // The cut shows as a reset or as an end, whichever the kernel reports first.
    let _ = socket.read_to_end(&mut seen);
    assert_eq!(seen.len(), 0);
}

#[test]
fn a_dropped_request_never_happened() {
    let (server, proxy) = pair();
    proxy.drop_requests_of(1, |command| command.is("INCR"));
    client(&proxy).command(&["INCR", "n"]).expect_err("the request is lost");
    assert_eq!(value(&server, "n"), None);
    assert_eq!(client(&proxy).command(&["INCR", "n"]).expect("a reply"), RespReply::Int(1));
    assert_eq!(proxy.report().dropped_requests, 1);
}

#[test]
fn an_answer_made_by_the_proxy_takes_its_turn() {
    let (server, proxy) = pair();
    server.command(&["SET", "big", &"x".repeat(2_000_000)]).expect("a reply");
    proxy.answer_instead(1, *b"-OOM full\r\n", |command| command.is("INCR"));
    proxy.replace_replies_of(1, *b":7\r\n", |command| command.is("GET") && command.contains("big"));
    let mut connection = client(&proxy);
    for command in [&["PING"][..], &["INCR", "n"], &["GET", "big"], &["INCR", "n"], &["GET", "n"]] {
        connection.send(command).expect("sent");
    }
    let answers: Vec<RespReply> = (0..5).map(|_| connection.receive().expect("a reply")).collect();
    assert_eq!(answers[0].text(), Some("PONG"));
    assert_eq!(answers[1], RespReply::Error("OOM full".into()), "it was kept from the server");
    assert_eq!(answers[2..4], [RespReply::Int(7), RespReply::Int(1)]);
    assert_eq!(answers[4].text(), Some("1"));
    // One that reaches the server is executed there.
    proxy.replace_replies_of(1, *b"-BUSY\r\n", |command| command.is("INCR"));
    assert_eq!(connection.command(&["INCR", "n"]).expect("a reply"), RespReply::Error("BUSY".into()));
    assert_eq!(value(&server, "n").as_deref(), Some("2"));
    assert_eq!(proxy.report().made_replies, 3);
}

#[test]
fn a_late_second_copy_comes_after_the_given_number_of_commands() {
    let (server, proxy) = pair();
    proxy.copy_late(LateCopy::of(|command| command.is("EVAL") && command.contains("wanted")).after(2));
    let mut connection = client(&proxy);
    let script = "return redis.call('RPUSH', KEYS[1], ARGV[1])";
    let mut push = |word: &str| connection.command(&["EVAL", script, "1", "log", word]).expect("a reply");
    assert_eq!(push("other"), RespReply::Int(1));
    assert_eq!(push("wanted"), RespReply::Int(2));
    assert_eq!(push("first after"), RespReply::Int(3));
    assert_eq!(proxy.report().copies, []);
    assert_eq!(push("second after"), RespReply::Int(4));
    assert_eq!(push("third after"), RespReply::Int(6));
    let log = server.command(&["LRANGE", "log", "0", "-1"]).expect("a reply");
    let log: Vec<_> = log.items().iter().filter_map(RespReply::text).collect();
    assert_eq!(log, ["other", "wanted", "first after", "second after", "wanted", "third after"]);
    let copies = proxy.report().copies;
    assert_eq!(copies.len(), 1);
    assert!(copies[0].command.contains("wanted"));
    assert_eq!(copies[0].reply, Ok(RespReply::Int(5)));
}

#[test]
fn only_counted_commands_bring_the_copy_nearer() {
    let (server, proxy) = pair();
    let copy = LateCopy::of(|command| command.is("INCR")).after(1).times(2);
    proxy.copy_late(copy.counting(|command| command.is("DECR")));
    let mut connection = client(&proxy);
    for command in ["INCR", "INCR", "INCR"] {
        connection.command(&[command, "n"]).expect("a reply");
    }
    assert_eq!(value(&server, "n").as_deref(), Some("3"));
    assert_eq!(connection.command(&["DECR", "n"]).expect("a reply"), RespReply::Int(2));
    assert_eq!(value(&server, "n").as_deref(), Some("4"), "both copies have come");
}

#[test]
fn a_copy_logs_in_like_its_original_and_works_on_the_same_database() {
    let server = PrivateServer::builder().password("hush").start().expect("a server");
    let proxy = Proxy::tcp(server.endpoint(), Traffic::Resp).expect("a proxy");
    proxy.copy_late(LateCopy::of(|command| command.is("INCR")));
    let mut connection = client(&proxy);
    connection.command(&["AUTH", "hush"]).expect("a reply");
    connection.command(&["SELECT", "3"]).expect("a reply");
    assert_eq!(connection.command(&["INCR", "n"]).expect("a reply"), RespReply::Int(1));
    assert_eq!(connection.command(&["GET", "n"]).expect("a reply").text(), Some("2"));
    assert_eq!(proxy.report().copies[0].reply, Ok(RespReply::Int(2)));
}

#[test]
fn a_copy_also_comes_when_the_original_was_never_answered() {
    let (server, proxy) = pair();
    proxy.copy_late(LateCopy::of(|command| command.is("INCR")));
    let mut connection = client(&proxy);
    server.freeze().expect("frozen");
    connection.send(&["INCR", "n"]).expect("sent");
    eventually("the command is on its way", || match proxy.report().forwarded {
        1 => Ok(()),
        n => Err(format!("{n} commands")),
    });
    proxy.cut();
    server.thaw().expect("thawed");
    eventually("original and copy", || match value(&server, "n").as_deref() {
        Some("2") => Ok(()),
        other => Err(format!("{other:?}, {:?}", proxy.report())),
    });
}

#[test]
fn forgotten_rules_do_nothing() {
    let (server, proxy) = pair();
    proxy.copy_late(LateCopy::of(|command| command.is("INCR")).after(1));
    let mut connection = client(&proxy);
    connection.command(&["INCR", "n"]).expect("a reply");
    proxy.drop_replies(5);
    proxy.forget_rules();
    connection.command(&["PING"]).expect("a reply");
    assert_eq!(value(&server, "n").as_deref(), Some("1"));
}

#[test]
fn a_server_that_is_down_looks_like_a_reset_and_comes_back() {
    let (mut server, proxy) = pair();
    let mut connection = client(&proxy);
    connection.command(&["PING"]).expect("a reply");
    server.kill9().expect("killed");
    assert!(!connection.receive().expect_err("gone").is_timeout());
    let refused = Connection::open(proxy.endpoint()).and_then(|mut new| new.command(&["PING"]));
    assert!(!refused.expect_err("refused").is_timeout());
    server.restart().expect("restarted");
    client(&proxy).command(&["PING"]).expect("a reply");
}

#[test]
fn other_protocols_pass_as_bytes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Proxy::tcp(listener.local_addr().expect("an address"), Traffic::Bytes).expect("a proxy");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut all = Vec::new();
        // Ends when the client has closed its half; the answer still goes back.
        stream.read_to_end(&mut all).expect("bytes");
        all.reverse();
        stream.write_all(&all).expect("sent");
    });
    let mut socket = std::net::TcpStream::connect(proxy.addr().expect("an address")).expect("a connection");
    socket.write_all(b"*no RESP\r\n$-7\r\n").expect("sent");
    socket.shutdown(std::net::Shutdown::Write).expect("closed");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("bytes");
    assert_eq!(answer, b"\n\r7-$\n\rPSER on*");
    server.join().expect("no panic");
    assert_eq!(proxy.report().commands, 0);
}

#[tokio::test]
async fn works_for_a_test_that_blocks_its_only_thread() {
    let (_server, proxy) = pair();
    assert_eq!(client(&proxy).command(&["INCR", "n"]).expect("a reply"), RespReply::Int(1));
    drop(proxy);
}
