//! Lookups at Twilio after an attempt of unknown outcome.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::recording_sink::{RecordingSink, SinkState};
use posthaste_courier::{Envelope, LookupResult, Outcome, SuppressAfter, Transport};
use posthaste_courier_sms::SmsTransport;
use posthaste_model::{CodedReason, OutcomeKind, ProviderCode, Reason};
use posthaste_rig::ProviderApi;
use tokio_util::sync::CancellationToken;

use super::bench::{envelope, send, transport};
use super::provider::{Message, Provider, Reply, half, refusal};

const TO: &str = "+79160000001";
const SENT: LookupResult = LookupResult::Known(OutcomeKind::Sent, CodedReason::uncoded(Reason::None));

/// The result of a lookup two minutes after the attempt.
async fn ask(twilio: &SmsTransport, envelope: &Envelope) -> LookupResult {
    twilio.look_up(envelope, envelope.due, envelope.due.after(Duration::from_secs(120))).await
}

/// Twilio accepts messages, changed like this, and the responses get lost.
fn loses_answers(provider: &Provider, change: impl Fn(&mut Message) + Send + Sync + 'static) {
    let twilio = provider.api();
    provider.answer(move |request| {
        if !request.is_message() {
            return twilio.accept(request);
        }
        twilio.add(request, &change);
        half()
    });
}

async fn lost(twilio: &SmsTransport, text: &str) -> Envelope {
    let message = envelope(TO, text);
    assert!(matches!(send(twilio, &message).await, Outcome::Unknown(_)));
    message
}

/// A transport with a feedback sink.
async fn with_sink(provider: &Provider, sink: &Arc<RecordingSink>, changes: &[(&str, &str)]) -> SmsTransport {
    let twilio = transport(provider, changes);
    twilio.serve(Arc::clone(sink) as _, CancellationToken::new()).await.unwrap();
    twilio
}

#[tokio::test]
async fn a_message_with_a_lost_answer_is_found_and_another_is_not() {
    let provider = Provider::start().await;
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &[]).await;
    loses_answers(&provider, |_| {});
    let message = lost(&twilio, "Встреча в девять\r\n").await;
    assert_eq!(ask(&twilio, &message).await, SENT);
    // On a second lookup, it is still ours.
    assert_eq!(ask(&twilio, &message).await, SENT);
    assert_eq!(ask(&twilio, &envelope(TO, "another text")).await, LookupResult::Never);
    assert_eq!(ask(&twilio, &envelope("+79160000002", "Встреча в девять")).await, LookupResult::Never);
    let look = &provider.lookups()[0];
    assert_eq!((look.requested("To").as_str(), look.requested("From").as_str()), (TO, super::bench::FROM));
    assert!(look.requested("DateSent>").ends_with('Z'), "{look:?}");
}

#[tokio::test]
async fn a_message_that_never_came_may_be_sent_again() {
    let provider = Provider::start().await;
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &[]).await;
    provider.script(vec![Reply::Reset]);
    let message = lost(&twilio, "x").await;
    assert_eq!(ask(&twilio, &message).await, LookupResult::Never);
    // By the sending time, and among those not sent yet.
    assert_eq!(provider.lookups().len(), 2);
}

#[tokio::test]
async fn twilio_is_not_asked_before_a_receipt_had_its_time() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    let message = envelope(TO, "x");
    let early = message.due.after(Duration::from_secs(59));
    assert_eq!(twilio.look_up(&message, message.due, early).await, LookupResult::NotNow);
    assert_eq!(provider.log().len(), 0);
    let later = message.due.after(Duration::from_secs(60));
    assert_eq!(twilio.look_up(&message, message.due, later).await, LookupResult::Never);
}

#[tokio::test]
async fn a_message_that_waits_with_twilio_is_found_too() {
    let provider = Provider::start().await;
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &[]).await;
    loses_answers(&provider, |message| message.waits = true);
    let message = lost(&twilio, "x").await;
    assert_eq!(ask(&twilio, &message).await, SENT);
}

#[tokio::test]
async fn equal_texts_of_two_orders_are_distinguished_by_whose_is_written_down() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let (here, there) = (with_sink(&provider, &sink, &[]).await, with_sink(&provider, &sink, &[]).await);
    // The message of one order was accepted, through another courier; this one's never arrived.
    assert_eq!(send(&there, &envelope(TO, "equal")).await, Outcome::Sent);
    provider.script(vec![Reply::Reset]);
    let message = lost(&here, "equal").await;
    assert_eq!(ask(&here, &message).await, LookupResult::Never);
    // If the feedback sink can't return the order, there is no result.
    sink.set(SinkState::Unavailable);
    assert_eq!(ask(&here, &message).await, LookupResult::NotNow);
}

#[tokio::test]
async fn of_two_lost_answers_and_one_message_only_one_finds_it() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let (here, there) = (with_sink(&provider, &sink, &[]).await, with_sink(&provider, &sink, &[]).await);
    loses_answers(&provider, |_| {});
    let first = lost(&here, "equal").await;
    provider.script(vec![Reply::Reset]);
    let second = lost(&there, "equal").await;
    assert_eq!(ask(&there, &second).await, SENT);
    assert_eq!(ask(&here, &first).await, LookupResult::Never);
    assert_eq!(ask(&there, &second).await, SENT);
}

#[tokio::test]
async fn two_lost_answers_and_two_messages_find_one_each() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let twilio = with_sink(&provider, &sink, &[]).await;
    loses_answers(&provider, |_| {});
    let (first, second) = (lost(&twilio, "equal").await, lost(&twilio, "equal").await);
    let (one, other) = tokio::join!(ask(&twilio, &first), ask(&twilio, &second));
    assert_eq!((one, other), (SENT, SENT));
    assert_eq!(sink.record().names.len(), 2);
    assert_eq!(ask(&twilio, &envelope(TO, "equal")).await, LookupResult::Never);
}

#[tokio::test]
async fn an_older_or_later_message_of_the_same_text_is_another() {
    let provider = Provider::start().await;
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &[]).await;
    loses_answers(&provider, |_| {});
    let message = lost(&twilio, "equal").await;
    for apart in [-61_000_i64, 92_000] {
        provider.api().change(|taken| taken.created.0 = message.due.0.checked_add_signed(apart).unwrap());
        assert_eq!(ask(&twilio, &message).await, LookupResult::Never, "{apart}");
    }
    provider.api().change(|taken| taken.created.0 = message.due.0 + 89_000);
    assert_eq!(ask(&twilio, &message).await, SENT);
}

#[tokio::test]
async fn a_failure_is_found_with_its_reason_and_its_number_reported_to_the_feedback() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let twilio = with_sink(&provider, &sink, &[]).await;
    loses_answers(&provider, |message| {
        message.status = "undelivered".to_owned();
        message.error_code = Some(30006);
    });
    let message = lost(&twilio, "x").await;
    let reason = CodedReason { reason: Reason::InvalidAddress, code: ProviderCode::of_number(30006) };
    assert_eq!(ask(&twilio, &message).await, LookupResult::Known(OutcomeKind::Failed, reason));
    let reported = sink.receipts();
    assert_eq!(
        (reported[0].attempt.clone(), reported[0].suppress_after),
        (message.id(), Some(SuppressAfter::Now))
    );
    provider.api().change(|message| message.status = "delivered".to_owned());
    assert_eq!(
        ask(&twilio, &message).await,
        LookupResult::Known(OutcomeKind::Delivered, Reason::None.into())
    );
}

#[tokio::test]
async fn texts_are_compared_as_twilio_shows_them() {
    let provider = Provider::start().await;
    let twilio =
        with_sink(&provider, &Arc::<RecordingSink>::default(), &[("twilio.smart_encoding", "true")]).await;
    for (text, shown) in [
        ("“quoted” — so", "\"quoted\" - so"),
        ("two\r\nlines ", "two\nlines"),
        ("trial", "Sent from your Twilio trial account - trial"),
    ] {
        loses_answers(&provider, move |message| message.body = shown.to_owned());
        let message = lost(&twilio, text).await;
        assert_eq!(ask(&twilio, &message).await, SENT, "{text}");
    }
    loses_answers(&provider, |message| message.body = "not ok".to_owned());
    assert_eq!(ask(&twilio, &lost(&twilio, "ok").await).await, LookupResult::Never);
    // For an account that stores no texts, the lookup can't decide.
    loses_answers(&provider, |message| message.body = String::new());
    assert_eq!(ask(&twilio, &lost(&twilio, "hidden").await).await, LookupResult::CannotTell);
}

#[tokio::test]
async fn a_long_list_is_read_and_one_without_end_is_not() {
    let provider = Provider::start().await;
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &[]).await;
    loses_answers(&provider, |_| {});
    let message = lost(&twilio, "x").await;
    let shown: Vec<_> = provider.api().all().iter().map(Message::shown).collect();
    for (pad, wanted) in [(1 << 20, SENT), (5 << 20, LookupResult::NotNow)] {
        let page = serde_json::json!({"messages": shown, "next_page_uri": null, "pad": "x".repeat(pad)});
        provider.answer(move |_| Reply::json(200, &page));
        assert_eq!(ask(&twilio, &message).await, wanted, "{pad}");
    }
}

#[tokio::test]
async fn a_text_a_service_made_smart_by_itself_is_found() {
    let provider = Provider::start().await;
    let service = "MG0123456789abcdef0123456789abcdef";
    let changes = [("twilio.from", ""), ("twilio.messaging_service_sid", service)];
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &changes).await;
    loses_answers(&provider, |message| message.body = "\"quoted\" - it's so".to_owned());
    assert_eq!(ask(&twilio, &lost(&twilio, "“quoted” — it’s so").await).await, SENT);
    loses_answers(&provider, |message| message.body = "\"quoted\" - it's not so".to_owned());
    assert_eq!(ask(&twilio, &lost(&twilio, "“quoted” — that’s so").await).await, LookupResult::Never);
    // Shown unchanged, it is found as before.
    loses_answers(&provider, |_| {});
    assert_eq!(ask(&twilio, &lost(&twilio, "“as it was”").await).await, SENT);
}

#[tokio::test]
async fn messages_of_a_service_are_known_by_it() {
    let provider = Provider::start().await;
    let service = "MG0123456789abcdef0123456789abcdef";
    let changes = [("twilio.from", ""), ("twilio.messaging_service_sid", service)];
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &changes).await;
    loses_answers(&provider, |message| message.from = "+12025550111".to_owned());
    let message = lost(&twilio, "x").await;
    assert_eq!(ask(&twilio, &message).await, SENT);
    assert_eq!(provider.lookups()[0].requested("From"), "");
    provider.api().change(|message| message.service = service.replace('0', "1"));
    let again = envelope(TO, "x");
    assert_eq!(ask(&twilio, &again).await, LookupResult::Never);
}

#[tokio::test]
async fn all_pages_are_looked_at_and_no_other_place() {
    let provider = Provider::start().await;
    let twilio = with_sink(&provider, &Arc::<RecordingSink>::default(), &[]).await;
    loses_answers(&provider, |_| {});
    let message = lost(&twilio, "the first").await;
    for n in 0..7 {
        lost(&twilio, &format!("text {n}")).await;
    }
    let messages = provider.api();
    provider.answer(move |request| messages.list(request, 3));
    assert_eq!(ask(&twilio, &message).await, SENT);
    assert_eq!(provider.lookups().len(), 3);
    // More pages than are read.
    let messages = provider.api();
    provider.answer(move |request| messages.list(request, 0));
    assert_eq!(ask(&twilio, &message).await, LookupResult::CannotTell);
    let looks = provider.lookups().len();
    for elsewhere in [
        "http://127.0.0.1:1/2010-04-01/x",
        "//evil.example.org/x",
        "/2010-04-01/Accounts/AC1/Messages.json?x",
    ] {
        let page = serde_json::json!({"messages": [], "next_page_uri": elsewhere});
        provider.answer(move |_| Reply::json(200, &page));
        assert_eq!(ask(&twilio, &message).await, LookupResult::NotNow, "{elsewhere}");
    }
    assert_eq!(provider.lookups().len(), looks + 3);
}

#[tokio::test]
async fn what_twilio_does_not_answer_is_asked_again_later() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    for reply in [
        refusal(401, 20003),
        refusal(429, 20429),
        refusal(500, 20500),
        Reply::Say(200, String::new(), "<html>".to_owned()),
        Reply::json(200, &serde_json::json!({"next_page_uri": null})),
        half(),
        Reply::Reset,
    ] {
        provider.answer(move |_| reply.clone());
        assert_eq!(ask(&twilio, &envelope(TO, "x")).await, LookupResult::NotNow);
    }
    provider.close().await;
    let message = envelope(TO, "x");
    assert_eq!(ask(&twilio, &message).await, LookupResult::NotNow);
    // But not forever.
    let late = message.due.after(Duration::from_secs(3601));
    assert_eq!(twilio.look_up(&message, message.due, late).await, LookupResult::CannotTell);
}

#[tokio::test]
async fn an_attempt_so_old_that_it_may_be_forgotten_finds_nothing_by_chance() {
    let (provider, sink) = (Provider::start().await, Arc::<RecordingSink>::default());
    let twilio = with_sink(&provider, &sink, &[]).await;
    loses_answers(&provider, |_| {});
    let message = lost(&twilio, "x").await;
    let late = message.due.after(Duration::from_secs(3600));
    assert_eq!(twilio.look_up(&message, message.due, late).await, LookupResult::CannotTell);
}
