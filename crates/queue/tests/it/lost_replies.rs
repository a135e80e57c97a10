//! Every response after every lost reply in acceptance: the reply of one step is lost, its second try meets every
//! refusal a server can give, and the client repeats its request unchanged. In the end there is one order, it counts
//! once, and no response on the way said that nothing is stored while something was.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use posthaste_rig::proxy::ProxiedCommand;
use posthaste_rig::{PrivateServer, Proxy, eventually_async};
use serde_json::{Value, json};

use crate::client::{Answer, Ask, ask};
use crate::intake::*;
use crate::intake_unknown::behind_proxy;

/// How an order is created.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Post,
    Batch,
    Upload,
    Put,
    LegacyApi,
    Retry,
}

/// A call made while creating an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Bind,
    Reserve,
    Stage,
    Enqueue,
    Confirm,
}

impl Step {
    /// Whether a command is this call. Only `bind_idempotency_key` and `take_daily_places` have one key followed by
    /// four arguments.
    pub(crate) fn is(self, command: &ProxiedCommand) -> bool {
        let words = command.args();
        let key =
            |at: usize, name: &str| words.get(at + 2).is_some_and(|word| word.starts_with(name.as_bytes()));
        if self == Self::Confirm {
            return command.is("WAIT") || command.is("WAITAOF");
        }
        command.is("EVALSHA")
            && match self {
                Self::Bind => words.len() == 8 && key(1, "idem:"),
                Self::Reserve => words.len() == 8 && key(1, "limit:"),
                Self::Stage => words.len() > 12 && key(3, "staging:"),
                Self::Enqueue => key(4, "history:"),
                Self::Confirm => false,
            }
    }
}

/// What a server may reply to the second try.
const ANSWERS: &[(&str, &str)] = &[
    ("full", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    ("loading", "-LOADING Redis is loading the dataset in memory\r\n"),
    ("a replica", "-READONLY You can't write against a read only replica.\r\n"),
    ("no disk", "-MISCONF Redis is configured to save RDB snapshots\r\n"),
    ("no cluster", "-CLUSTERDOWN The cluster is down\r\n"),
    ("moving", "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"),
    ("too few replicas", "-NOREPLICAS Not enough good replicas to write.\r\n"),
    ("no master", "-MASTERDOWN Link with MASTER is down\r\n"),
    ("busy", "-BUSY Redis is busy running a script.\r\n"),
    ("a fault", "-ERR script tried to access a non local key\r\n"),
    ("nonsense", "*2\r\n+what\r\n:7\r\n"),
];

/// How the first reply is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// With its connection.
    Cut,
    /// Something else arrives in its place.
    Garbled,
}

/// What the second try meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// A normal reply.
    Well,
    /// This reply, as does every later try.
    Answer(&'static str),
    /// No connection.
    Refused,
}

/// One sender's request and its result.
pub(crate) struct Trial<'a> {
    pub(crate) server: &'a PrivateServer,
    pub(crate) key: &'a str,
    pub(crate) way: Way,
    pub(crate) sender: String,
    /// The order that a retry is made from.
    old: Option<String>,
    /// The order id, once a response named it.
    id: Option<String>,
}

impl<'a> Trial<'a> {
    pub(crate) async fn new(
        server: &'a PrivateServer,
        address: SocketAddr,
        key: &'a str,
        way: Way,
        number: u32,
    ) -> Self {
        let mut trial = Self { server, key, way, sender: format!("s{number}"), old: None, id: None };
        if way == Way::Retry {
            let order = with(order(3), "sender", json!({"id": trial.sender}));
            let tomorrow = posthaste_queue::timestamp::ApiTime(posthaste_model::UnixMs(
                posthaste_model::Clock::now(&posthaste_model::SystemClock).0 + 86_400_000,
            ));
            let given =
                post(key, &with(order, "deliver_at", json!(tomorrow.to_string()))).send(address).await;
            let id = given.json()["id"].as_str().expect("an order").to_owned();
            let path = format!("/v1/orders/{id}/cancel");
            assert_eq!(ask("POST", &path).key(key).send(address).await.status, 200);
            trial.old = Some(id);
        }
        trial
    }

    pub(crate) fn request(&self) -> Ask<'static> {
        let (sender, key) = (&self.sender, self.key);
        let who = json!({"id": sender, "role": "staff"});
        let leaked = |path: String| -> &'static str { Box::leak(path.into_boxed_str()) };
        let ask = match self.way {
            Way::Post => post(key, &with(order(3), "sender", who)),
            Way::Batch => {
                let body = format!("{}\n", with(order(3), "sender", who));
                upload(key, "/v1/orders/batch", body.as_bytes())
            }
            Way::Upload => {
                let head = json!({"sender": who, "text": "Hello"});
                upload(key, "/v1/orders", &lines(&head, (0..4_600).map(recipient)))
            }
            Way::Put => {
                let body = with(order(3), "sender", who).to_string();
                return ask("PUT", leaked(format!("/v1/orders/{sender}.7"))).key(key).json(&body);
            }
            Way::LegacyApi => {
                let to = json!([{"id": "r1", "email": "r1@example.org"}]);
                let history = format!("history:{sender}:7");
                let body = json!({"history_key": history, "sender": who, "recipients": to, "text": "Hello"});
                return ask("PUT", "/queue").key(key).json(&body.to_string());
            }
            Way::Retry => {
                let old = self.old.as_deref().unwrap_or_default();
                ask("POST", leaked(format!("/v1/orders/{old}/retry"))).key(key).json("{}")
            }
        };
        ask.header("idempotency-key", "k")
    }

    /// Orders of the sender, besides the one a retry was made from.
    pub(crate) fn orders(&self) -> usize {
        let prefix = format!("history:{{0}}:{}:", self.sender);
        let histories = written(self.server).iter().filter(|name| name.starts_with(&prefix)).count();
        let listed =
            self.server.command(&["LLEN", &format!("sender:{{0}}:{}", self.sender)]).expect("a list");
        assert_eq!(listed.int(), i64::try_from(histories).ok(), "listed once each");
        histories - usize::from(self.old.is_some())
    }

    /// Places taken in the sender's day.
    pub(crate) fn places(&self) -> i64 {
        let places = self.server.command(&["ZCARD", &format!("limit:{{{}}}", self.sender)]);
        places.expect("places").int().expect("a number")
    }

    /// The status, the document, and whether it is a replay.
    fn read(&self, answer: &Answer) -> (u64, Value, bool) {
        let reported = answer.json();
        let header = answer.header("idempotent-replayed").is_some();
        match (self.way, answer.status) {
            (Way::Batch, 200) => {
                let status = reported["status"].as_u64().expect("a status");
                let document =
                    if status < 300 { reported["order"].clone() } else { reported["problem"].clone() };
                (status, document, reported["replayed"] == true)
            }
            (_, status) => (u64::from(status), reported, header),
        }
    }

    /// Checks a response: what it says about the order is true. True if it is final.
    pub(crate) fn note(&mut self, answer: &Answer, what: &str) -> bool {
        let (status, document, _) = self.read(answer);
        let orders = self.orders();
        if let Some(id) = document["id"].as_str().or(document["order_id"].as_str()) {
            assert_eq!(self.id.get_or_insert_with(|| id.to_owned()), id, "{what}: another order: {answer:?}");
        }
        match (status, document["code"].as_str().unwrap_or_default()) {
            (200 | 202, _) => assert_eq!(orders, 1, "{what}: {answer:?}"),
            (503, "outcome_unknown") => {
                assert!(document["order_id"].is_string(), "{what}: {answer:?}");
                assert!(orders <= 1, "{what}: {answer:?}");
            }
            (503 | 500, "storage_full" | "storage_unavailable" | "internal_error") => {
                assert_eq!(orders, 0, "{what}: stored, but reported as refused: {answer:?}");
            }
            _ => panic!("{what}: {answer:?}"),
        }
        status < 300
    }

    /// Repeats until a response is final, and checks what is stored.
    pub(crate) async fn conclude(mut self, address: SocketAddr, what: &str) {
        eventually_async("the order is accepted", async || {
            let answer = self.request().send(address).await;
            let (status, document, _) = self.read(&answer);
            if status < 300 { Ok(()) } else { Err(format!("{what}: {document}")) }
        })
        .await;
        let last = self.request().send(address).await;
        assert!(self.note(&last, what), "{what}: {last:?}");
        assert!(self.read(&last).2, "{what}: a replay: {last:?}");
        let places = if self.way == Way::Retry { 0 } else { 1 };
        assert_eq!((self.orders(), self.places()), (1, places), "{what}");
    }
}

async fn walk(way: Way, steps: &[Step]) {
    // One connection, so that a lost one is the only one.
    let (server, proxy, address, key) =
        behind_proxy(&[("redis.connections", "1"), ("redis.call_timeout", "500ms")]).await;
    walk_on((&server, &proxy, address, &key), way, steps).await;
}

/// A service behind a proxy: its server, the proxy, its address, a key for it.
type Site<'a> = (&'a PrivateServer, &'a Proxy, SocketAddr, &'a str);

pub(crate) async fn walk_on((server, proxy, address, key): Site<'_>, way: Way, steps: &[Step]) {
    let mut number = 0;
    // The server already has the scripts, so that one reply is one run.
    Trial::new(server, address, key, way, number).await.conclude(address, "warming up").await;
    let answers = ANSWERS.iter().map(|(_, answer)| Then::Answer(answer));
    let thens: Vec<Then> = answers.chain([Then::Well, Then::Refused]).collect();
    for step in steps {
        for loss in [Loss::Cut, Loss::Garbled] {
            // An upload has thousands of deliveries each time: skip cases that do not differ from a small order.
            let short = way == Way::Upload && loss == Loss::Garbled;
            for then in if short { &thens[..2] } else { &thens[..] } {
                number += 1;
                let what = format!("{way:?}, {step:?} {loss:?}, then {then:?}");
                let trial = Trial::new(server, address, key, way, number).await;
                case(proxy, address, trial, (*step, loss, *then), &what).await;
            }
        }
    }
}

async fn case(
    proxy: &Proxy,
    address: SocketAddr,
    mut trial: Trial<'_>,
    (step, loss, then): (Step, Loss, Then),
    what: &str,
) {
    let before = proxy.report();
    match loss {
        Loss::Cut => proxy.drop_replies_of(1, move |command| step.is(command)),
        Loss::Garbled => proxy.replace_replies_of(1, *b"+what\r\n", move |command| step.is(command)),
    }
    let seen = AtomicU32::new(0);
    let later = move |command: &ProxiedCommand| step.is(command) && seen.fetch_add(1, Ordering::SeqCst) > 0;
    match then {
        Then::Well => {}
        Then::Answer(answer) => proxy.answer_instead(u32::MAX, answer, later),
        Then::Refused => proxy.refuse(),
    }
    let first = trial.request().send(address).await;
    let after = proxy.report();
    let lost = (after.dropped_replies + after.made_replies) - (before.dropped_replies + before.made_replies);
    assert!(lost >= 1, "{what}: no reply was lost: {first:?}");
    trial.note(&first, what);
    // The repeat is sent at once, while the fault lasts. Without a connection not even the client's key can be looked up.
    if then != Then::Refused {
        let second = trial.request().send(address).await;
        trial.note(&second, what);
    }
    proxy.forget_rules();
    proxy.heal();
    trial.conclude(address, what).await;
}

#[tokio::test]
async fn an_order_is_stored_once_whatever_follows_a_lost_reply() {
    walk(Way::Post, &[Step::Bind, Step::Reserve, Step::Enqueue]).await;
}

#[tokio::test]
async fn an_order_of_a_batch_is_stored_once_whatever_follows_a_lost_reply() {
    walk(Way::Batch, &[Step::Bind, Step::Reserve, Step::Enqueue]).await;
}

#[tokio::test]
async fn an_upload_is_stored_once_whatever_follows_a_lost_reply() {
    walk(Way::Upload, &[Step::Stage, Step::Enqueue]).await;
}

#[tokio::test]
async fn an_order_with_an_id_is_stored_once_whatever_follows_a_lost_reply() {
    walk(Way::Put, &[Step::Reserve, Step::Enqueue]).await;
}

#[tokio::test]
async fn an_order_of_the_legacy_api_is_stored_once_whatever_follows_a_lost_reply() {
    walk(Way::LegacyApi, &[Step::Reserve, Step::Enqueue]).await;
}

#[tokio::test]
async fn a_retry_is_stored_once_whatever_follows_a_lost_reply() {
    walk(Way::Retry, &[Step::Bind, Step::Enqueue]).await;
}
