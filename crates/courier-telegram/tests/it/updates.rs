//! Updates: requested, stored, and only then confirmed.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_courier::conformance::ServedTransport;
use posthaste_courier::recording_sink::{ListChange, RecordingSink, SinkState};
use posthaste_courier::{NoticeMoment, Outcome, SuppressionList};
use posthaste_courier_telegram::TelegramTransport;
use posthaste_model::UnixMs;
use posthaste_ops::metrics::Metrics;
use posthaste_rig::{CapturedLogs, eventually_async};
use serde_json::{Value, json};

use super::bench::{envelope, send, token, transport};
use super::provider::{Provider, Reply, Request, accept, by_bot, half, refusal};

/// The changes of the channel's list: "+7 blocked" or "-7 blocked".
fn lines(sink: &RecordingSink) -> Vec<String> {
    let line = |change| match change {
        ListChange::Suppressed(address, SuppressionList::Channel, reason) => ('+', address, reason),
        ListChange::OptedIn(address, SuppressionList::Channel, reason) => ('-', address, reason),
        other => panic!("{other:?}"),
    };
    let changes = sink.list_changes().into_iter().map(line);
    changes.map(|(sign, address, reason)| format!("{sign}{} {}", address.expose(), reason.word())).collect()
}

async fn eventually_lines(sink: &RecordingSink, expected: &[&str]) {
    eventually_async("the sink received it", async || match lines(sink) {
        lines if lines == expected => Ok(()),
        lines => Err(format!("{lines:?}")),
    })
    .await;
}

/// A block, or its end, by the person with this id.
pub(crate) fn place(number: i64, person: i64, status: &str) -> Value {
    let of = |status: &str| {
        let bot = json!({"id": 42, "is_bot": true, "first_name": "Bot"});
        json!({"user": bot, "status": status, "until_date": 0})
    };
    json!({"update_id": number, "my_chat_member": {
        "chat": {"id": person, "type": "private", "first_name": "Anna"}, "date": 1_760_000_000,
        "from": {"id": person, "is_bot": false, "first_name": "Anna"},
        "old_chat_member": of("left"), "new_chat_member": of(status)}})
}

pub(crate) fn written(number: i64, person: i64, text: &str) -> Value {
    json!({"update_id": number, "message": {"message_id": 1, "date": 1_760_000_000, "text": text,
        "chat": {"id": person, "type": "private", "first_name": "Anna"},
        "from": {"id": person, "is_bot": false, "first_name": "Anna"}}})
}

/// Answers a request as Telegram does: with the waiting updates from the offset on. Without any it holds the request open.
pub(crate) fn tell(request: &Request, waiting: &[Value]) -> Reply {
    let since = request.body["offset"].as_i64().unwrap_or(0);
    let left: Vec<&Value> =
        waiting.iter().filter(|update| update["update_id"].as_i64().is_none_or(|n| n >= since)).collect();
    match left.is_empty() {
        true => Reply::Hang,
        false => Reply::json(200, &json!({"ok": true, "result": left})),
    }
}

fn questions(provider: &Provider) -> Vec<Request> {
    provider.log().into_iter().filter(|request| request.method == "getupdates").collect()
}

async fn requested(provider: &Provider, times: usize) -> Vec<Request> {
    eventually_async("the questions", async || match questions(provider) {
        requested if requested.len() >= times => Ok(requested),
        requested => Err(requested.len()),
    })
    .await
}

type Served = ServedTransport<TelegramTransport>;

fn serve(provider: &Provider, sink: &Arc<RecordingSink>, changes: &[(&str, &str)]) -> Served {
    let mut all = vec![("updates", "true"), ("updates_retry_after", "20ms")];
    all.extend_from_slice(changes);
    Served::start(Arc::new(transport(provider, &all)), Arc::clone(sink))
}

async fn stop(served: Served) {
    let sink = Arc::clone(&served.sink);
    served.stopped().await.unwrap();
    let record = sink.record();
    assert!(record.receipts.is_empty() && record.names.is_empty(), "Telegram has neither");
}

/// A sink that fails until it is told to store.
pub(crate) fn unavailable() -> Arc<RecordingSink> {
    let sink = Arc::<RecordingSink>::default();
    sink.set(SinkState::Unavailable);
    sink
}

#[tokio::test]
async fn no_updates_are_requested_unless_the_settings_say_so() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let served = serve(&provider, &sink, &[("updates", "false")]);
    served.ended().await.unwrap();
    assert_eq!(provider.log().len(), 0);
}

#[tokio::test]
async fn blocks_suppress_and_returns_delete_and_each_is_confirmed() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let waiting =
        [place(900, 7, "kicked"), place(901, 8, "member"), written(902, 7, "/start"), written(950, 9, "x")];
    provider.answer(move |request| tell(request, &waiting));
    let served = serve(&provider, &sink, &[]);
    let back = |chat: u8| [format!("-{chat} blocked"), format!("-{chat} invalid_address")];
    let lines = [vec!["+7 blocked".to_owned()], back(8).into(), back(7).into(), back(9).into()].concat();
    eventually_lines(&sink, &lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Each with Telegram's own moment; a copy has the same name.
    let at = |number: u64| {
        (format!("42 {number} 1760000000000"), NoticeMoment::Provider(UnixMs(1_760_000_000_000)))
    };
    let notices: Vec<_> = sink
        .notices()
        .iter()
        .map(|notice| (notice.name().unwrap_or_default().to_owned(), notice.said()))
        .collect();
    assert_eq!(notices, [at(900), at(901), at(902), at(950)]);
    let requested = requested(&provider, 2).await;
    assert_eq!(requested[0].token, token(42));
    assert_eq!(requested[0].body["allowed_updates"], json!(["my_chat_member", "message"]));
    assert!(requested[0].body["timeout"].as_u64().is_some_and(|held| (1..=50).contains(&held)));
    assert_eq!((requested[0].body.get("offset"), &requested[1].body["offset"]), (None, &json!(951)));
    stop(served).await;
}

#[tokio::test]
async fn an_update_that_is_not_stored_is_not_confirmed_and_comes_again() {
    let (provider, sink) = (Provider::start().await, unavailable());
    let waiting = [json!({"update_id": 5, "poll": {}}), place(6, 7, "kicked")];
    provider.answer(move |request| tell(request, &waiting));
    let served = serve(&provider, &sink, &[]);
    for again in &requested(&provider, 4).await[1..] {
        // The one before it is confirmed, this one is not.
        assert_eq!(again.body["offset"], 6);
    }
    sink.set(SinkState::Storing);
    eventually_lines(&sink, &["+7 blocked"]).await;
    eventually_async("it is confirmed", async || match questions(&provider).last() {
        Some(last) if last.body["offset"] == 7 => Ok(()),
        last => Err(format!("{:?}", last.map(|last| last.body.clone()))),
    })
    .await;
    stop(served).await;
}

#[tokio::test]
async fn unknown_updates_are_ignored() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let waiting = [
        json!({"update_id": 1, "hologram": {"from": 7}}),
        json!({"update_id": 2, "my_chat_member": "gone"}),
        json!({"update_id": 3}),
        json!({"message": {}}),
        json!({"update_id": -9, "message": {}}),
        json!({"update_id": i64::MAX}),
        place(4, 7, "kicked"),
    ];
    provider.answer(move |request| {
        let known = request.body["offset"].as_i64().unwrap_or(0);
        if known > 4 { Reply::Hang } else { Reply::json(200, &json!({"ok": true, "result": waiting})) }
    });
    let served = serve(&provider, &sink, &[]);
    eventually_lines(&sink, &["+7 blocked"]).await;
    assert_eq!(requested(&provider, 2).await[1].body["offset"], 5);
    stop(served).await;
}

#[tokio::test]
async fn a_repeated_update_is_handled_once() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    provider.answer(|_| Reply::json(200, &json!({"ok": true, "result": [place(4, 7, "kicked")]})));
    let served = serve(&provider, &sink, &[]);
    requested(&provider, 5).await;
    assert_eq!(lines(&sink), ["+7 blocked"]);
    stop(served).await;
}

#[tokio::test]
async fn updates_are_requested_again_after_any_refusal() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let replies = Mutex::new(
        vec![
            refusal(409, "Conflict: terminated by other getUpdates request"),
            refusal(409, "Conflict: can't use getUpdates method while webhook is active"),
            refusal(401, "Unauthorized"),
            Reply::Say(502, String::new(), "<html>".to_owned()),
            Reply::Say(200, String::new(), "{\"ok\":true}".to_owned()),
            Reply::Say(200, String::new(), "x".repeat(5 << 20)),
            Reply::Reset,
            half(),
        ]
        .into_iter(),
    );
    provider.answer(move |request| match replies.lock().unwrap().next() {
        Some(reply) => reply,
        None => tell(request, &[place(6, 7, "kicked")]),
    });
    let served = serve(&provider, &sink, &[]);
    eventually_lines(&sink, &["+7 blocked"]).await;
    let requested = requested(&provider, 10).await;
    // After an answer that is too long, updates are requested one at a time until one is read.
    assert_eq!(requested[5].body["limit"], requested[9].body["limit"]);
    assert!(requested[6..=8].iter().all(|requested| requested.body["limit"] == 1));
    assert!(requested.windows(2).take(8).all(|pair| pair[1].at - pair[0].at >= Duration::from_millis(20)));
    stop(served).await;
}

#[tokio::test]
async fn another_program_that_requests_updates_is_logged_once() {
    let log = CapturedLogs::by_this_thread();
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let number = AtomicI64::new(0);
    // The two programs get answers in turn.
    provider.answer(move |_| match number.fetch_add(1, Ordering::SeqCst) {
        number if number % 2 == 0 => refusal(409, "Conflict: terminated by other getUpdates request"),
        number => Reply::json(200, &json!({"ok": true, "result": [written(number, 7, "x")]})),
    });
    let served = serve(&provider, &sink, &[]);
    requested(&provider, 10).await;
    stop(served).await;
    let log = log.text();
    assert_eq!(log.matches("another program requests the bot's updates").count(), 1, "{log}");
    assert!(!log.contains("receiving updates again"), "{log}");
}

/// Telegram's answer to the program whose request was interrupted.
fn conflict() -> Reply {
    refusal(409, "Conflict: terminated by other getUpdates request")
}

#[tokio::test]
async fn after_three_conflicts_a_bot_is_left_to_the_other_program() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    provider.answer(|request| match (request.method.as_str(), request.token == token(1)) {
        ("getupdates", true) => conflict(),
        ("getupdates", false) => Reply::Say(502, String::new(), "<html>".to_owned()),
        _ => accept(request),
    });
    let tokens = format!("{} {}", token(1), token(2));
    let served = serve(&provider, &sink, &[("tokens", &tokens)]);
    let by = |bot: u64| questions(&provider).iter().filter(|requested| requested.token == token(bot)).count();
    let requested_by = async |bot, times| {
        eventually_async("the requests of a bot", async || match by(bot) {
            requested if requested >= times => Ok(()),
            requested => Err(requested),
        })
        .await;
    };
    requested_by(1, 3).await;
    // While the other bot makes 20 more requests, the first makes none.
    requested_by(2, by(2) + 20).await;
    assert_eq!(by(1), 3);
    let reported = metrics.render();
    assert!(
        reported.contains("posthaste_alerts_total{channel=\"telegram\",type=\"updates_paused\"} 1"),
        "{reported}"
    );
    for chat in 1..=20 {
        assert_eq!(send(&served.transport, envelope(&chat.to_string(), "x")).await, Outcome::Sent);
    }
    assert!(by_bot(&provider)[&token(1)] > 0);
    stop(served).await;
}

#[tokio::test]
async fn one_request_after_the_rest_finds_out_whether_the_other_program_is_gone() {
    let log = CapturedLogs::by_this_thread();
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let number = AtomicI64::new(0);
    provider.answer(move |request| match number.fetch_add(1, Ordering::SeqCst) {
        0..5 => conflict(),
        _ => tell(request, &[place(6, 7, "kicked")]),
    });
    let served = serve(&provider, &sink, &[("updates_pause", "200ms")]);
    eventually_lines(&sink, &["+7 blocked"]).await;
    let requested = requested(&provider, 7).await;
    let rests: Vec<bool> = requested
        .windows(2)
        .take(5)
        .map(|pair| pair[1].at - pair[0].at >= Duration::from_millis(200))
        .collect();
    assert!(rests[2..].iter().all(|rested| *rested), "{rests:?}");
    stop(served).await;
    let log = log.text();
    assert_eq!(log.matches("set telegram.updates = false").count(), 1, "{log}");
    assert!(log.contains("receiving updates again"), "{log}");
}

#[tokio::test]
async fn a_block_of_one_of_several_bots_suppresses_nobody() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    provider.answer(|request| match (request.method.as_str(), request.token == token(1)) {
        ("getupdates", true) => tell(request, &[place(6, 7, "kicked"), written(7, 8, "x")]),
        ("getupdates", false) => tell(request, &[written(70, 9, "x")]),
        _ => accept(request),
    });
    let tokens = format!("{} {}", token(1), token(2));
    let served = serve(&provider, &sink, &[("tokens", &tokens)]);
    eventually_async("both are confirmed", async || {
        let requested = questions(&provider);
        let confirmed = |offset: u64| requested.iter().any(|requested| requested.body["offset"] == offset);
        if confirmed(8) && confirmed(71) { Ok(()) } else { Err(requested.len()) }
    })
    .await;
    let mut changed = lines(&sink);
    changed.sort();
    assert_eq!(changed, ["-8 blocked", "-8 invalid_address", "-9 blocked", "-9 invalid_address"]);
    stop(served).await;
}
