//! VK's callbacks at the public endpoint: authenticated by their secret, stored, and only then acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::PathBuf;
use std::sync::Arc;

use posthaste_courier::conformance::ServedTransport;
use posthaste_courier::recording_sink::{ListChange, RecordingSink, SinkState};
use posthaste_courier::{ConsentNotice, NoticeMoment, SuppressionList};
use posthaste_courier_vk::VkTransport;
use posthaste_model::{Address, Reason};
use posthaste_ops::metrics::Metrics;
use posthaste_rig::unix_http;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::bench::{TOKEN, try_transport};

pub(crate) const PATH: &str = "/vk/CANARYcanaryCANARYpath";
pub(crate) const SECRET: &str = "CANARYcanaryCANARYsecret";
const GROUP: u64 = 42;

/// A channel whose public endpoint is open.
pub(crate) struct Place {
    pub(crate) sink: Arc<RecordingSink>,
    folder: tempfile::TempDir,
    served: ServedTransport<VkTransport>,
}

impl Place {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("unix:{}", folder.path().join("s").display());
        let vk = try_transport(&[
            ("token", TOKEN),
            ("listen", &listen),
            ("path", PATH),
            ("confirmation", "a1b2c3"),
            ("secret", SECRET),
            ("group_id", "42"),
        ]);
        let sink = Arc::<RecordingSink>::default();
        let served = ServedTransport::start(Arc::new(vk.unwrap()), Arc::clone(&sink));
        let place = Self { sink, folder, served };
        unix_http::wait_socket(&place.socket()).await;
        place
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Posts a body to a path; returns status and body of the answer.
    pub(crate) async fn post_to(&self, path: &str, body: &[u8]) -> (u16, String) {
        self.post_with("", path, body).await
    }

    /// The same with additional header lines.
    async fn post_with(&self, lines: &str, path: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {lines}content-length: {}\r\n\r\n",
            body.len()
        );
        unix_http::exchange(&self.socket(), &[head.as_bytes(), body].concat()).await
    }

    pub(crate) async fn tell(&self, event: &Value) -> (u16, String) {
        self.post_to(PATH, event.to_string().as_bytes()).await
    }

    pub(crate) async fn close(self) {
        self.served.stopped().await.unwrap();
        let record = self.sink.record();
        assert!(record.receipts.is_empty() && record.names.is_empty(), "VK has neither");
    }
}

/// An event as VK sends it.
pub(crate) fn event(kind: &str, id: &str, object: Value) -> Value {
    json!({"type": kind, "group_id": GROUP, "event_id": id, "v": "5.199", "secret": SECRET, "object": object})
}

fn suppressed(peer: &str) -> ListChange {
    ListChange::Suppressed(Address::new(peer), SuppressionList::Channel, Reason::Blocked)
}

fn opted_in(peer: &str) -> ListChange {
    ListChange::OptedIn(Address::new(peer), SuppressionList::Channel, Reason::Blocked)
}

fn ok() -> (u16, String) {
    (200, "ok".to_owned())
}

fn with(mut event: Value, name: &str, value: Value) -> Value {
    event[name] = value;
    event
}

#[tokio::test]
async fn a_person_who_denies_messages_is_suppressed_until_they_allow_them_or_write() {
    let place = Place::open().await;
    let written = json!({"message": {"from_id": 9, "peer_id": 9, "text": "hello"}, "client_info": {}});
    let in_a_chat = json!({"message": {"from_id": 7, "peer_id": 2_000_000_001, "text": "hello"}});
    let nowhere = json!({"message": {"from_id": 7, "text": "hello"}});
    for event in [
        event("message_deny", "e1", json!({"user_id": 7})),
        event("message_allow", "e2", json!({"user_id": 7, "key": "k"})),
        event("message_new", "e3", written),
        event("message_new", "e6", in_a_chat),
        event("message_new", "e7", nowhere),
        event("message_read", "e4", json!({"from_id": 7})),
        event("something_new", "e5", json!([1])),
    ] {
        assert_eq!(place.tell(&event).await, ok(), "{event}");
    }
    assert_eq!(place.sink.list_changes(), [suppressed("7"), opted_in("7"), opted_in("9")]);
    place.close().await;
}

#[tokio::test]
async fn a_repeated_event_counts_once_and_one_that_is_not_stored_is_not_acknowledged() {
    let place = Place::open().await;
    let denied = event("message_deny", "e1", json!({"user_id": 7}));
    place.sink.set(SinkState::Unavailable);
    assert_eq!(place.tell(&denied).await.0, 503);
    place.sink.set(SinkState::Storing);
    for _ in 0..3 {
        assert_eq!(place.tell(&denied).await, ok());
    }
    assert_eq!(place.sink.list_changes(), [suppressed("7")]);
    assert_eq!(place.tell(&event("message_deny", "e2", json!({"user_id": 7}))).await, ok());
    // Without an id, no event counts as a repeat of another.
    let nameless = event("message_deny", "", json!({"user_id": 8}));
    for _ in 0..2 {
        assert_eq!(place.tell(&nameless).await, ok());
    }
    assert_eq!(place.sink.list_changes().len(), 4);
    place.close().await;
}

#[tokio::test]
async fn an_event_counts_from_when_it_was_first_received() {
    let place = Place::open().await;
    let denied = event("message_deny", "e1", json!({"user_id": 7}));
    place.sink.set(SinkState::Unavailable);
    assert_eq!(place.tell(&denied).await.0, 503);
    let other = event("message_allow", "e2", json!({"user_id": 7}));
    let retry = async |event: &Value, count: &str| {
        let line = format!("X-Retry-Counter: {count}\r\n");
        place.post_with(&line, PATH, event.to_string().as_bytes()).await
    };
    // An event first received by another process happened at an unknown earlier time, and that does not change here.
    assert_eq!(retry(&other, "1").await.0, 503);
    place.sink.set(SinkState::Storing);
    assert_eq!(retry(&denied, "1").await, ok());
    assert_eq!(retry(&other, "2").await, ok());
    assert_eq!(
        retry(&event("message_new", "e3", json!({"message": {"from_id": 7, "peer_id": 7}})), "0").await,
        ok()
    );
    let notices = place.sink.notices();
    let [first, unknown, again, still, new] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!((first, unknown), (again, still));
    assert_eq!((first.name(), unknown.name(), new.name()), (Some("e1"), Some("e2"), Some("e3")));
    assert!(
        matches!(first.said(), NoticeMoment::Received(_)) && matches!(new.said(), NoticeMoment::Received(_)),
        "{notices:?}"
    );
    assert_eq!(unknown.said(), NoticeMoment::Unknown);
    // A person who allows messages may have denied them before, in an event that is still on its way.
    let remembered = ConsentNotice::named("e2", NoticeMoment::Unknown).remembered();
    assert!(*unknown == remembered && *new == ConsentNotice::named("e3", new.said()));
    place.close().await;
}

#[tokio::test]
async fn the_confirmation_request_is_answered_for_this_community_only() {
    let place = Place::open().await;
    let question = json!({"type": "confirmation", "group_id": GROUP});
    assert_eq!(place.tell(&question).await.0, 403, "a request without the secret may come from anybody");
    assert_eq!(place.tell(&with(question.clone(), "secret", json!(""))).await.0, 403);
    let question = with(question, "secret", json!(SECRET));
    assert_eq!(place.tell(&question).await, (200, "a1b2c3".to_owned()));
    assert_eq!(place.tell(&with(question.clone(), "secret", json!("x"))).await.0, 403);
    assert_eq!(place.tell(&with(question, "group_id", json!(43))).await.0, 403);
    place.close().await;
}

#[tokio::test]
async fn forged_and_broken_events_change_nothing() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let place = Place::open().await;
    let good = event("message_deny", "e1", json!({"user_id": 7}));
    for (event, status) in [
        (with(good.clone(), "secret", json!("")), 403),
        (with(good.clone(), "secret", json!(format!("{SECRET}x"))), 403),
        (with(good.clone(), "secret", json!(SECRET[1..])), 403),
        (with(good.clone(), "secret", json!(1)), 400),
        (with(good.clone(), "group_id", json!(43)), 403),
        (with(good.clone(), "group_id", json!(-42)), 400),
        (with(good.clone(), "group_id", json!("42")), 400),
        (with(good.clone(), "type", json!(null)), 400),
        (json!([]), 400),
        (json!("message_deny"), 400),
    ] {
        assert_eq!(place.tell(&event).await.0, status, "{event}");
    }
    let refused = "posthaste_callbacks_rejected_total{channel=\"vk\"} 4\n";
    assert!(metrics.render().contains(refused), "{}", metrics.render());
    // Authenticated, but about nobody.
    for object in
        [json!({"user_id": 0}), json!({"user_id": "7"}), json!({"user_id": 7.5}), json!(null), json!(7)]
    {
        assert_eq!(place.tell(&event("message_deny", "", object)).await, ok());
    }
    let body = good.to_string();
    for path in ["/", "/vk", "/vk/", "/vk/CANARYcanaryCANARYpathx", "/vk/../vk", "//"] {
        assert_eq!(place.post_to(path, body.as_bytes()).await.0, 404, "{path}");
    }
    assert_eq!(place.post_to(PATH, &vec![b' '; (1 << 20) + 1]).await.0, 413);
    assert_eq!(place.post_to(PATH, "[".repeat(100_000).as_bytes()).await.0, 400);
    assert_eq!(place.post_to(PATH, b"\xff\xfe").await.0, 400);
    assert_eq!(place.sink.list_changes(), []);
    // The endpoint still works.
    assert_eq!(place.tell(&good).await, ok());
    place.close().await;
}

#[test]
fn no_input_from_outside_causes_a_failure() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let place = runtime.block_on(Place::open());
    let value = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(|n| json!(n)),
        ".{0,20}".prop_map(|s| json!(s)),
        Just(json!({"user_id": i64::MIN})),
        Just(json!({"message": {"from_id": u64::MAX}})),
    ];
    let kind = prop_oneof![Just("message_deny"), Just("message_new"), Just("message_allow"), Just("x")];
    proptest!(ProptestConfig::with_cases(64), |(kind in kind, object in value, cut in 0..200_usize, id in ".{0,200}")| {
        let body = event(kind, &id, object).to_string();
        let cut = cut.min(body.len());
        for body in [body.as_bytes(), &body.as_bytes()[..cut]] {
            let (status, _) = runtime.block_on(place.post_to(PATH, body));
            prop_assert!((200..500).contains(&status), "{}", status);
        }
    });
    runtime.block_on(place.close());
}
