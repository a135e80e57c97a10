//! The service as a whole process: ports, readiness, signals, exit codes, the memory that thousands of trackers cost.
//!
//! The test starts itself again as the service.

#[path = "../it/client.rs"]
mod client;
mod database;
mod hostile;
mod process;
mod upload;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use posthaste_model::{Address, Content, Delivery, OnUnknown, Priority, Text};
use posthaste_rig::{PrivateServer, Sig, eventually_async};
use posthaste_store::{KeyScope, NewOrder, NewOrderHead, Role, Settings, Store};

use self::client::{Stream, ask, get, soon};
use self::process::{Process, key};

fn main() -> ExitCode {
    if let Some(code) = process::as_service() {
        return code;
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    let trials = vec![
        trial("the_service_is_ready_when_it_can_store", the_service_is_ready_when_it_can_store),
        trial("a_signal_stops_the_service_with_streams_open", a_signal_stops_the_service_with_streams_open),
        trial("a_failed_start_exits_with_its_code", a_failed_start_exits_with_its_code),
        trial("it_waits_for_its_database", database::it_waits_for_its_database),
        trial("a_signal_ends_the_wait", database::a_signal_ends_the_wait),
        trial(
            "what_keeps_it_from_storing_is_reported_everywhere",
            database::what_keeps_it_from_storing_is_reported_everywhere,
        ),
        trial("thousands_of_trackers_cost_little", thousands_of_trackers_cost_little),
        trial("a_long_upload_costs_little", upload::costs_little),
        trial("hostile_bodies_hold_nobody_up", hostile::bodies_hold_nobody_up),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

fn server() -> PrivateServer {
    PrivateServer::builder().max_memory(4 << 30).start().expect("a server")
}

fn the_service_is_ready_when_it_can_store() {
    run(async {
        let mut redis = server();
        let service = Process::start(&redis, &[]);
        let (address, admin) = service.ready().await;
        let becomes = async |path: &'static str, status: u16| {
            eventually_async(path, async || {
                let answer = get(path).send(admin).await;
                if answer.status == status { Ok(answer) } else { Err(answer.text()) }
            })
            .await
        };
        becomes("/readyz", 200).await;
        let key = key(&redis).await;
        assert_eq!(get("/v1/orders").key(&key).send(address).await.status, 200);
        assert_eq!(get("/nowhere/canary7f3a").send(address).await.status, 404);
        assert_eq!(ask("CANARY7F3A", "/v1/orders?canary7f3a").send(address).await.status, 405);
        let metrics = get("/metrics").send(admin).await.text();
        for line in [
            "posthaste_http_requests_total{route=\"/v1/orders\",method=\"GET\",status=\"200\"} 1",
            "posthaste_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1",
            "posthaste_http_request_duration_seconds_count{route=\"/v1/orders\",method=\"GET\"} 1",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
        assert!(
            !metrics.to_lowercase().contains("canary"),
            "input of clients is not used as a label: {metrics}"
        );
        for path in ["/metrics", "/livez", "/readyz"] {
            assert_eq!(get(path).send(address).await.status, 404, "{path} has a port of its own");
        }

        redis.kill9().expect("killed");
        let unready = becomes("/readyz", 503).await.json();
        assert_eq!(unready["checks"][0]["name"], "store", "{unready}");
        assert_eq!(get("/livez").send(admin).await.status, 200, "a restart would not help");
        redis.restart().expect("restarted");
        becomes("/readyz", 200).await;
    });
}

fn a_signal_stops_the_service_with_streams_open() {
    run(async {
        let redis = server();
        let service = Process::start(&redis, &[]);
        let (address, _) = service.ready().await;
        let key = key(&redis).await;
        let mut stream = Stream::open(address, get("/v1/orders/u1.1/events").key(&key)).await;
        stream.until("retry: ").await;
        service.child.signal(Sig::Term).expect("signalled");
        assert!(stream.end().await.ends_with("0\r\n\r\n"), "the stream ends properly");
        let status = service.child.wait_exit().expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", service.child.tail(20));
        assert!(!service.child.tail(1_000).contains(&key[16..]), "the secret of a key is in the log");
    });
}

fn a_failed_start_exits_with_its_code() {
    run(async {
        let mut redis = server();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("an address");
        for (settings, code, says) in [
            (&[("POSTHASTE_HTTP__MAX_CONNECTIONS", "many")][..], 78, "http.max_connections"),
            (&[("POSTHASTE_HTTP__BODY_TIME", "15")], 78, "http.body_time"),
            (&[("POSTHASTE_QUIET_HOURS__ZONE", "Mars/Olympus")], 78, "quiet_hours.zone"),
            (&[("POSTHASTE_HTTP__ADDRESS", taken.1.as_str())], 69, "cannot listen on"),
        ] {
            let service = Process::start(&redis, settings);
            let status = service.child.wait_exit().expect("it ends");
            let reported = service.child.tail(5);
            assert_eq!(status.code(), Some(code), "{reported}");
            assert!(reported.contains(says), "{reported}");
        }
        redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).expect("set");
        let service = Process::start(&redis, &[]);
        let status = service.child.wait_exit().expect("it ends");
        assert_eq!(status.code(), Some(78), "the server would lose messages: {}", service.child.tail(5));
        redis.kill9().expect("killed");
        let service = Process::start(&redis, &[("POSTHASTE_REDIS__WAIT_AT_START", "0s")]);
        let status = service.child.wait_exit().expect("it ends");
        assert_eq!(status.code(), Some(69), "{}", service.child.tail(5));
    });
}

/// Trackers open at the same time: one in ten on an order of its own, the others on one order.
const TRACKERS: usize = 5_000;
/// Maximum memory for all of them. The HTTP library's two buffers of a connection, 8 KiB each, account for 82 MB of it.
const MOST_BYTES: f64 = 130e6;

fn thousands_of_trackers_cost_little() {
    run(async {
        process::allow_open_files();
        let redis = server();
        // All of them use one key.
        let service = Process::start(&redis, &[("POSTHASTE_KEYS__SHARE", "1.0")]);
        let (address, admin) = service.ready().await;
        let settings = Settings { url: redis.url().into(), ..Settings::default() };
        let (store, _) = Store::connect(settings, Role::Tool).await.expect("a store");
        let key = key(&redis).await;
        let due = store.server_time().await.expect("the time").after(std::time::Duration::from_secs(3_600));
        let orders = TRACKERS / 10;
        for n in 0..orders {
            store.accept(&order(n, due)).await.expect("an order");
        }
        let resident =
            async || number(&get("/metrics").send(admin).await.text(), "process_resident_memory_bytes");
        let before = resident().await;
        let mut streams = Vec::with_capacity(TRACKERS);
        for n in 0..TRACKERS {
            let path = format!("/v1/orders/u1.{}/events", if n < orders { n } else { 0 });
            let mut stream = Stream::open(address, get(&path).key(&key)).await;
            stream.until("event: snapshot").await;
            streams.push(stream);
        }
        let cost = resident().await - before;
        let open = number(&get("/metrics").send(admin).await.text(), "posthaste_order_watchers");
        assert_eq!(open, TRACKERS as f64);
        assert!(cost < MOST_BYTES, "{TRACKERS} trackers cost {cost} bytes");
        let further = get("/v1/orders/u1.0/events").key(&key).send(address).await;
        assert_eq!((further.status, further.problem().as_str()), (503, "overloaded"), "one more is refused");
        // Meanwhile orders are still accepted, and all followers of the order are notified.
        let body = r#"{"sender":{"id":"u1"},"recipients":[{"id":"r","contacts":{"email":["a@example.org"]}}],"text":"x"}"#;
        let made = soon("an answer", ask("POST", "/v1/orders").key(&key).json(body).send(address)).await;
        assert_eq!(made.status, 200, "{made:?}");
        let first = order(0, due).head.order_id;
        store.cancel(0, &first).await.expect("cancelled");
        for stream in streams.iter_mut().skip(orders) {
            stream.until("event: end").await;
        }
    });
}

fn order(n: usize, due: posthaste_model::UnixMs) -> NewOrder {
    let delivery = Delivery {
        index: 0,
        recipient: "r".to_owned(),
        name: String::new(),
        address: Address::new("a@example.org"),
    };
    NewOrder {
        head: NewOrderHead {
            order_id: format!("u1:{n}").parse().expect("an order id"),
            due: Some(due),
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Default,
            not_after: None,
            span: std::time::Duration::from_secs(72 * 3_600),
            content: Content { text: Text::new("Hello"), ..Content::default() },
        },
        digest: [7; 12],
        deliveries: vec![("email".parse().expect("a channel"), delivery)],
        no_contact: Vec::new(),
    }
}

fn number(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is not in\n{metrics}"))
}

/// All scopes.
const SCOPES: [KeyScope; 4] = KeyScope::ALL;
