//! The program itself: it starts, reports that it is ready, stops on request, and rejects unusable settings.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use posthaste_rig::{PrivateServer, ProgramUnderTest, Sig, eventually, program};

use crate::server::{Kind, Server};

const PROGRAM: ProgramUnderTest = ProgramUnderTest::new(env!("CARGO_BIN_EXE_posthaste-courier-email"));
/// A password that must never be shown.
const CANARY: &str = "canary-7361";

/// An admin port's response to a path: the status line, and all of it.
fn get(base: &str, path: &str) -> (String, String) {
    let address = base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("the admin port");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    (answer.lines().next().unwrap_or_default().to_owned(), answer)
}

fn admin(file: &Path) -> String {
    let text = program::wait_ready(file);
    let at = text.strip_prefix("{\"admin\":\"").and_then(|rest| rest.strip_suffix("\"}\n"));
    at.expect("a JSON object with the admin port").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_until_it_is_asked_to_stop() {
    let kind = Kind { credentials: Some(("user", CANARY)), ..Kind::default() };
    let (redis, relay) = (PrivateServer::builder().start().expect("a server"), Server::start(kind).await);
    let folder = tempfile::tempdir().expect("a folder");
    let (ready, settings) = (folder.path().join("ready.json"), folder.path().join("posthaste.toml"));
    // One file for all processes.
    std::fs::write(&settings, "[smtp]\nusername = \"user\"\n[http]\nlisten = \"127.0.0.1:0\"\n")
        .expect("a file");
    let (url, relays) = (redis.url(), relay.url());
    let names = [&settings, &ready].map(|path| path.display().to_string());
    let args = ["--config", &names[0], "--ready-file", &names[1], "--redis", &url, "--relays", &relays];
    let variables = [
        ("POSTHASTE_SMTP__PASSWORD", CANARY),
        ("POSTHASTE_EMAIL__FROM", "no-reply@example.org"),
        ("POSTHASTE_ORDERS__DEFAULT_REGION", "RU"),
    ];
    let courier = PROGRAM.start(&args, &variables);
    let admin = admin(&ready);
    assert_eq!(get(&admin, "/livez").0, "HTTP/1.1 200 OK");
    eventually("readiness", || {
        let (first, all) = get(&admin, "/readyz");
        if first == "HTTP/1.1 200 OK" { Ok(()) } else { Err(all) }
    });
    let metrics = get(&admin, "/metrics").1;
    assert!(metrics.contains("posthaste_wakeups_total{channel=\"email\""), "{metrics}");
    courier.wait_line("the provider check", |line| line.contains("provider check passed")).expect("a look");
    program::stop(&courier, &[CANARY]);
    assert!(!ready.exists(), "an old file must not be left: others wait for it");
    assert!(!metrics.contains(CANARY), "{metrics}");
}

/// Settings with listeners for bounces and clicks.
fn ports<'a>(bounces: &'a str, unsubscribe: &'a str) -> [(&'static str, &'a str); 6] {
    const KEY: &str = "canary-7361-of-thirty-two-letters";
    [
        ("POSTHASTE_BOUNCES__ADDRESS", "bounces+{}@example.org"),
        ("POSTHASTE_BOUNCES__KEY", KEY),
        ("POSTHASTE_BOUNCES__LISTEN", bounces),
        ("POSTHASTE_UNSUBSCRIBE__PUBLIC_URL", "https://example.org"),
        ("POSTHASTE_UNSUBSCRIBE__KEY", KEY),
        ("POSTHASTE_UNSUBSCRIBE__LISTEN", unsubscribe),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn its_ports_open_and_a_taken_one_ends_it_by_name() {
    let (redis, relay) = (PrivateServer::builder().start().expect("a server"), Server::plain().await);
    let (url, relays) = (redis.url(), relay.url());
    let args = ["--admin", "127.0.0.1:0", "--redis", &url, "--relays", &relays];
    let first = PROGRAM.start(&args, &ports("127.0.0.1:0", "127.0.0.1:0"));
    let at = |said: &str| {
        let line = first.wait_line(said, |line| line.contains(said)).expect("a port");
        line.split("address=").nth(1).expect("an address").split([' ', '"']).next().expect("it").to_owned()
    };
    let (bounces, clicks) = (at("listening for bounces"), at("listening for unsubscribe requests"));
    for address in [&bounces, &clicks] {
        TcpStream::connect(address).expect("a listener");
    }
    for (variables, key, address) in [
        (ports(&bounces, "127.0.0.1:0"), "bounces.listen", &bounces),
        (ports("127.0.0.1:0", &clicks), "unsubscribe.listen", &clicks),
    ] {
        let (code, said) = PROGRAM.end(&args, &variables);
        assert_ne!(code, Some(0), "{said}");
        assert!(
            said.contains(&format!("{key}: cannot listen on {address}")) && !said.contains(CANARY),
            "{said}"
        );
    }
    program::stop(&first, &[CANARY]);
}

#[test]
fn settings_that_make_no_sense_end_the_start_by_name() {
    for case in [
        ("POSTHASTE_SMTP__RELAYS", "smtp+plain://relay.example.org:25", "smtp.relays"),
        ("POSTHASTE_SMTP__RELAYS", "smtp://user:canary-7361@relay.example.org", "smtp.relays"),
        ("POSTHASTE_SMTP__PASSWORD", CANARY, "smtp.username"),
        ("POSTHASTE_SMTP__USERNAME", "user", "smtp.password"),
        ("POSTHASTE_SMTP__RELAIS", "x", "smtp.relais"),
        ("POSTHASTE_SMTP__IDLE_FOR", "30", "smtp.idle_for"),
        ("POSTHASTE_SMTP__ON_UNKNOWN", "forget", "smtp.on_unknown"),
        ("POSTHASTE_SMTP__MAX_CONNECTIONS", "0", "smtp.max_connections"),
        ("POSTHASTE_SMTP__POLICY_SHARE", "1.5", "smtp.policy_share"),
        ("POSTHASTE_SMTP__CA_FILE", "/nowhere/ca.pem", "smtp.ca_file"),
        ("POSTHASTE_EMAIL__FROM", "nobody", "email.from"),
        ("POSTHASTE_EMAIL__ONE_CLICK", "true", "email.one_click"),
        ("POSTHASTE_DKIM__DOMAIN", "example.org", "dkim.selector"),
        ("POSTHASTE_DKIM__SECONDKEY", CANARY, "dkim.secondkey"),
        ("POSTHASTE_BOUNCES__ADDRESS", "bounces@example.org", "bounces.key"),
        ("POSTHASTE_BOUNCES__ADRESS", "bounces+{}@example.org", "bounces.adress"),
        ("POSTHASTE_BOUNCES__LISTEN", "127.0.0.1:0", "bounces.listen"),
        ("POSTHASTE_BOUNCES__MAX_CONNECTIONS", "0", "bounces.max_connections"),
        ("POSTHASTE_BOUNCES__MAX_PARSED_SIZE", "1KiB", "bounces.max_parsed_size"),
        ("POSTHASTE_UNSUBSCRIBE__PUBLIC_URL", "http://example.org", "unsubscribe.public_url"),
        ("POSTHASTE_UNSUBSCRIBE__PUBLIC_URL", "https://example.org", "unsubscribe.key"),
        ("POSTHASTE_UNSUBSCRIBE__LISTEN", "127.0.0.1:0", "unsubscribe.listen"),
        ("POSTHASTE_COURIER__LEASE", "1s", "courier.renew_every"),
        ("POSTHASTE_COURIER__MAX_TRIES", "16", "courier.max_tries"),
        ("POSTHASTE_REDIS__DURABILITY", "some", "redis.durability"),
    ] {
        PROGRAM.refuses(&[], case, &[CANARY]);
    }
}

#[test]
fn keys_that_are_too_short_are_refused_and_not_shown() {
    for (section, rest) in [
        ("BOUNCES", ("POSTHASTE_BOUNCES__ADDRESS", "bounces+{}@example.org")),
        ("UNSUBSCRIBE", ("POSTHASTE_UNSUBSCRIBE__PUBLIC_URL", "https://example.org")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = program::secret_file(folder.path(), "key", &format!("{CANARY}\n"));
        let variable = format!("POSTHASTE_{section}__KEY_FILE");
        let variables = [(variable.as_str(), file.to_str().expect("a path")), rest];
        let (code, said) = PROGRAM.end(&[], &variables);
        assert_eq!(code, Some(78), "{said}");
        let key = format!("{}.key: must have at least 32 characters", section.to_ascii_lowercase());
        assert!(said.contains(&key) && !said.contains(CANARY), "{said}");
    }
}

#[test]
fn a_password_that_was_typed_is_refused_and_not_shown() {
    for url in [format!("redis://:{CANARY}@127.0.0.1"), CANARY.to_owned()] {
        let (code, said) = PROGRAM.end(&["--redis", &url], &[]);
        assert_eq!(code, Some(78), "{said}");
        assert!(
            said.contains("posthaste-courier-email: redis.url: ") && said.contains("flag --redis"),
            "{said}"
        );
        assert!(!said.contains(CANARY), "{said}");
    }
}

#[test]
fn without_a_database_it_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let variables = [("POSTHASTE_REDIS__CALL_TIMEOUT", "500ms"), ("POSTHASTE_REDIS__WAIT_AT_START", "0s")];
    let (code, said) = PROGRAM.end(&["--redis", &url], &variables);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("posthaste-courier-email: cannot connect to Redis: connection refused"), "{said}");
}

#[test]
fn it_waits_for_its_database_and_says_so() {
    let mut redis = PrivateServer::builder().start().expect("a server");
    redis.kill9().expect("killed");
    let url = redis.url();
    let courier = PROGRAM.start(&["--redis", &url], &[]);
    let event = |name: &'static str| {
        let said = format!("event=\"{name}\"");
        courier.wait_line(name, |line| line.contains(&said)).expect("a line")
    };
    let away = event("redis.away");
    assert!(away.contains(&format!("node=\"{}\"", redis.socket().display())), "{away}");
    event("redis.waiting_at_start");
    let open = courier.wait_line("the admin port", |line| line.contains("admin port open")).expect("a line");
    let admin = format!("http://{}", open.split("address=").nth(1).expect("an address").trim());
    eventually("it is not ready, and says why", || {
        let (first, all) = get(&admin, "/readyz");
        assert!(first.contains("503"), "{all}");
        if all.contains("cannot be reached") { Ok(()) } else { Err(all) }
    });
    assert_eq!(get(&admin, "/livez").0, "HTTP/1.1 200 OK");
    redis.restart().expect("restarted");
    eventually("readiness", || {
        let (first, all) = get(&admin, "/readyz");
        if first == "HTTP/1.1 200 OK" { Ok(()) } else { Err(all) }
    });
    let metrics = get(&admin, "/metrics").1;
    assert!(!metrics.contains("type=\"wakeup_gap\""), "the first subscription is no gap: {metrics}");
    // A failure of something the courier does not need does not make it unready.
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).expect("set");
    event("redis.memory_full");
    assert_eq!(get(&admin, "/readyz").0, "HTTP/1.1 200 OK");
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).expect("set");
    eventually("it can't work", || {
        let (first, all) = get(&admin, "/readyz");
        if first.contains("503") && all.contains("too few replicas") { Ok(()) } else { Err(all) }
    });
    courier.signal(Sig::Term).expect("a signal");
    assert!(courier.wait_exit().is_ok(), "{}", courier.tail(5));
}

#[test]
fn a_signal_ends_the_wait() {
    let mut redis = PrivateServer::builder().start().expect("a server");
    redis.kill9().expect("killed");
    let url = redis.url();
    let courier = PROGRAM.start(&["--redis", &url], &[]);
    courier.wait_line("the wait", |line| line.contains("redis.waiting_at_start")).expect("a line");
    program::stop(&courier, &[CANARY]);
}

#[test]
fn a_key_that_signs_nothing_of_use_is_refused_and_not_shown() {
    let weak = include_str!("../keys/rsa-1024-pkcs8.pem");
    let strong = include_str!("../keys/rsa-2048-pkcs8.pem");
    let folder = tempfile::tempdir().expect("a folder");
    let [weak_file, strong_file] = [("weak", weak), ("strong", strong)]
        .map(|(name, key)| program::secret_file(folder.path(), name, key).display().to_string());
    let first = |file: &str| {
        [
            ("POSTHASTE_DKIM__DOMAIN", "example.org".to_owned()),
            ("POSTHASTE_DKIM__SELECTOR", "one".to_owned()),
            ("POSTHASTE_DKIM__KEY_FILE", file.to_owned()),
        ]
    };
    let second = [
        ("POSTHASTE_DKIM__SECOND_SELECTOR", "two".to_owned()),
        ("POSTHASTE_DKIM__SECOND_KEY_FILE", weak_file.clone()),
    ];
    for (variables, key) in [
        (first(&weak_file).to_vec(), "dkim.key"),
        ([first(&strong_file).as_slice(), &second].concat(), "dkim.second_key"),
    ] {
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (code, said) = PROGRAM.end(&[], &variables);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(&format!("{key}: is an RSA key of less than 2048 bits")), "{said}");
        assert!(said.contains("openssl genpkey"), "{said}");
        let lines = [weak, strong].map(|key| key.lines().nth(1).expect("a line of the key"));
        assert!(lines.iter().all(|line| !said.contains(line)), "{said}");
    }
}
