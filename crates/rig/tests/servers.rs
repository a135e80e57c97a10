//! Private servers, tried on the real ones.

use std::time::Duration;

use posthaste_rig::resp::Endpoint;
use posthaste_rig::servers::Sentinels;
use posthaste_rig::{Connection, Error, Fsync, PrivateServer, Reply, ServerKind, eventually};

fn ok() -> Reply {
    Reply::Status("OK".into())
}

fn text(value: &str) -> Reply {
    Reply::Bytes(value.as_bytes().to_vec())
}

#[test]
fn answers_over_both_addresses() {
    let server = PrivateServer::builder().tcp().start().expect("a server");
    let mut unix = server.connect().expect("a connection");
    assert_eq!(unix.command(&["SET", "k", "v"]).expect("a reply"), ok());
    let addr = server.tcp_addr().expect("an address");
    let mut tcp = Connection::open(&Endpoint::Tcp(addr)).expect("a connection");
    assert_eq!(tcp.command(&[b"GET".as_slice(), b"k"]).expect("a reply"), text("v"));
    assert!(server.url().starts_with("redis+unix:///"), "{}", server.url());
    assert_eq!(server.tcp_url().expect("a url"), format!("redis://{addr}"));
    let error = unix.command(&["NO-SUCH-COMMAND"]).expect("a reply");
    assert!(error.error().is_some_and(|e| e.starts_with("ERR")), "{error:?}");
    assert_eq!(unix.command(&["GET", "none"]).expect("a reply"), Reply::Nil);
}

#[test]
fn starts_with_the_settings_asked_for() {
    let server = PrivateServer::builder()
        .fsync(Fsync::Always)
        .max_memory(64 << 20)
        .password("hush")
        .line("hz 50")
        .start()
        .expect("a server");
    let setting = |name: &str| {
        let reply = server.command(&["CONFIG", "GET", name]).expect("a reply");
        reply.items()[1].text().unwrap_or_default().to_owned()
    };
    assert_eq!(setting("appendonly"), "yes");
    assert_eq!(setting("appendfsync"), "always");
    assert_eq!(setting("maxmemory"), (64 << 20).to_string());
    assert_eq!(setting("maxmemory-policy"), "noeviction");
    assert_eq!(setting("save"), "");
    assert_eq!(setting("hz"), "50");
    let mut flags: Vec<char> = setting("notify-keyspace-events").chars().collect();
    flags.sort_unstable();
    assert_eq!(flags, ['E', 'K', 'h', 'x']);
    assert!(server.url().starts_with("redis+unix://:hush@localhost/"), "{}", server.url());
    let mut stranger = Connection::open(&server.endpoint()).expect("a connection");
    let refusal = stranger.command(&["PING"]).expect("a reply");
    assert!(refusal.error().is_some_and(|e| e.starts_with("NOAUTH")), "{refusal:?}");
}

#[test]
fn is_the_server_the_environment_asks_for() {
    let server = PrivateServer::start().expect("a server");
    assert_eq!(server.kind(), ServerKind::from_env().expect("a kind"));
    let info = server.info("server").expect("INFO");
    match server.kind() {
        ServerKind::Valkey81 => assert!(info["valkey_version"].starts_with("8.1."), "{info:?}"),
        ServerKind::Redis80 => assert!(info["redis_version"].starts_with("8.0."), "{info:?}"),
        ServerKind::Redis70 => assert!(!info["redis_version"].is_empty()),
    }
}

#[test]
fn keeps_data_and_addresses_over_a_kill() {
    let mut server = PrivateServer::builder().tcp().start().expect("a server");
    let addr = server.tcp_addr();
    let mut connection = server.connect().expect("a connection");
    connection.command(&["SET", "k", "kept"]).expect("a reply");
    let pid = server.pid();
    server.kill9().expect("killed");
    assert!(connection.command(&["PING"]).is_err(), "the old connection is dead");
    assert!(matches!(server.connect(), Err(Error::Io { .. })), "nobody listens");
    server.restart().expect("restarted");
    assert_ne!(server.pid(), pid);
    assert_eq!(server.tcp_addr(), addr);
    assert_eq!(server.command(&["GET", "k"]).expect("a reply"), text("kept"));
    server.stop().expect("stopped");
    server.stop().expect("stopping twice does nothing");
    server.restart().expect("restarted");
    assert_eq!(server.command(&["GET", "k"]).expect("a reply"), text("kept"));
}

#[test]
fn without_the_append_only_file_a_restart_is_empty() {
    let mut server = PrivateServer::builder().fsync(Fsync::Off).start().expect("a server");
    server.command(&["SET", "k", "v"]).expect("a reply");
    server.restart().expect("restarted");
    assert_eq!(server.command(&["DBSIZE"]).expect("a reply"), Reply::Int(0));
}

#[test]
fn a_frozen_server_answers_after_the_thaw() {
    let server = PrivateServer::start().expect("a server");
    let mut connection = server.connect().expect("a connection");
    connection.command(&["PING"]).expect("a reply");
    server.freeze().expect("frozen");
    connection.send(&["INCR", "n"]).expect("sent");
    let early = connection.receive_within(Duration::from_millis(50)).expect("still usable");
    assert_eq!(early, None);
    server.thaw().expect("thawed");
    assert_eq!(connection.receive().expect("a reply"), Reply::Int(1));
}

#[test]
fn a_command_is_bounded_in_time() {
    let server = PrivateServer::start().expect("a server");
    let mut connection = server.connect().expect("a connection");
    connection.set_time_limit(Duration::from_millis(50));
    server.freeze().expect("frozen");
    let error = connection.command(&["PING"]).expect_err("no answer");
    assert!(error.is_timeout(), "{error}");
    server.thaw().expect("thawed");
    assert!(connection.command(&["PING"]).is_err(), "a late answer must not be taken for the next one");
}

#[test]
fn events_reach_a_subscriber() {
    let server = PrivateServer::start().expect("a server");
    let mut subscriber = server.connect().expect("a connection");
    let hello = subscriber.command(&["SUBSCRIBE", "__keyevent@0__:expired"]).expect("a reply");
    assert_eq!(hello.items()[2], Reply::Int(1));
    server.command(&["SET", "bell", "0", "PX", "1"]).expect("a reply");
    eventually("the key is gone", || match server.command(&["EXISTS", "bell"]) {
        Ok(Reply::Int(0)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let message = subscriber.receive().expect("a message");
    assert_eq!(message.items()[2], text("bell"));
}

#[test]
fn counts_processor_time() {
    let server = PrivateServer::start().expect("a server");
    let before = server.cpu_seconds().expect("a figure");
    let busy = "local n = 0 for i = 1, 5000000 do n = n + i end return 1";
    assert_eq!(server.command(&["EVAL", busy, "0"]).expect("a reply"), Reply::Int(1));
    assert!(server.cpu_seconds().expect("a figure") > before);
}

#[test]
fn a_wrong_setting_is_told_with_the_servers_words() {
    let error = PrivateServer::builder().line("no-such-setting 1").start().expect_err("refused");
    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[test]
fn many_servers_live_side_by_side() {
    let servers: Vec<_> = (0..6).map(|_| PrivateServer::builder().tcp().start().expect("a server")).collect();
    for (i, server) in servers.iter().enumerate() {
        server.command(&["SET", "me", &i.to_string()]).expect("a reply");
    }
    for (i, server) in servers.iter().enumerate() {
        let addr = server.tcp_addr().expect("an address");
        let mut tcp = Connection::open(&Endpoint::Tcp(addr)).expect("a connection");
        assert_eq!(tcp.command(&["GET", "me"]).expect("a reply"), text(&i.to_string()));
    }
    let folder = servers[0].dir().to_owned();
    let pid = servers[0].pid().expect("a process");
    drop(servers);
    assert!(!folder.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

/// The configuration we recommend, with only the addresses and the folder replaced.
#[test]
fn starts_with_the_recommended_configuration() {
    let recommended =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/redis/redis.conf"));
    let own = ["bind", "port", "dir", "protected-mode"];
    let lines = recommended.expect("the file").lines().map(str::to_owned).collect::<Vec<_>>();
    let lines = lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<_> = lines.filter(|line| !own.iter().any(|name| line.starts_with(name))).collect();
    assert!(lines.len() >= 10, "{lines:?}");
    let builder = lines.iter().fold(PrivateServer::builder(), |builder, line| builder.line(line));
    let server = builder.start().expect("a server");
    for line in lines.iter().filter(|line| !line.contains("buffer-limit")) {
        let (name, value) = line.split_once(' ').expect("a setting with a value");
        let reply = server.command(&["CONFIG", "GET", name]).expect("a reply");
        let set = reply.items()[1].text().expect("a value").to_owned();
        let mut wanted = value.trim_matches('"').replace("2gb", &(2u64 << 30).to_string()).into_bytes();
        let mut set = set.into_bytes();
        // The server writes the flags of events in an order of its own.
        if name == "notify-keyspace-events" {
            wanted.sort_unstable();
            set.sort_unstable();
        }
        assert_eq!(set, wanted, "{name}");
    }
}

#[test]
fn sentinels_promote_a_replica_that_heard_nothing_of_the_last_changes() {
    let mut servers = Sentinels::start(2, Duration::from_secs(1)).expect("servers");
    assert_eq!(servers.primary().expect("a primary"), 0);
    servers.lag().set_latency(Duration::from_millis(300));
    let set = |servers: &Sentinels, key: &str| servers.node(0).command(&["SET", key, "1"]).expect("a reply");
    // WAIT speaks of what its own connection wrote.
    let mut primary = servers.node(0).connect().expect("a connection");
    primary.command(&["SET", "kept", "1"]).expect("a reply");
    let copies = primary.command(&["WAIT", "2", "60000"]).expect("a reply");
    assert_eq!(copies, Reply::Int(2));
    servers.lag().black_hole();
    set(&servers, "lost");
    servers.node_mut(0).kill9().expect("killed");
    let promoted = eventually("a replica is promoted", || match servers.primary() {
        Ok(0) => Err("not yet".to_owned()),
        Ok(at) => Ok(at),
        Err(error) => Err(error.to_string()),
    });
    let keys = servers.node(promoted).command(&["KEYS", "*"]).expect("a reply");
    assert_eq!(keys.items(), [text("kept")]);
    eventually("the other one follows it", || match servers.node(promoted).info("replication") {
        Ok(info) if info.get("connected_slaves").is_some_and(|count| count == "1") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(servers.url().contains("sentinelServiceName=main&node="), "{}", servers.url());
}
