//! Failures by policy: one is about a message, many are about the sender.

use posthaste_courier::{Outcome, Transport};

use super::bench::{envelope, send};
use super::callbacks::Place;

#[tokio::test]
async fn a_sender_whose_messages_carriers_filter_is_stopped_by_receipts() {
    let place = Place::open().await;
    let mut numbers = (0..).map(|n| format!("+7916{n:07}"));
    let mut sent = async || {
        let message = envelope(&numbers.next().unwrap(), "x");
        (send(&place.sms, &message).await, message)
    };
    // Half of them are filtered: the cause may be these messages.
    for _ in 0..30 {
        for (status, code) in [("undelivered", "30007"), ("delivered", "")] {
            let (outcome, message) = sent().await;
            assert_eq!(outcome, Outcome::Sent);
            assert_eq!(place.receipt(&message, status, code).await, 204);
        }
    }
    // All of them are. Earlier results no longer count.
    let (_, first) = sent().await;
    for _ in 0..60 {
        assert_eq!(place.receipt(&first, "undelivered", "30034").await, 204);
    }
    let why = loop {
        match sent().await {
            (Outcome::Sent, message) => {
                assert_eq!(place.receipt(&message, "undelivered", "30034").await, 204);
            }
            (Outcome::Stop(why), _) => break why,
            (other, _) => panic!("{other:?}"),
        }
    };
    assert!(
        why.ends_with(
            "of the last 50 responses and receipts are policy rejections, the last by Twilio (30034)"
        ),
        "{why}"
    );
    let requested = place.provider.messages().len();
    assert!(requested > 62, "it stopped after {requested}");
    assert!(matches!(sent().await.0, Outcome::Stop(_)));
    assert_eq!(place.provider.messages().len(), requested, "nothing more goes out");
    // A check of the account lets it try again; while nothing is fixed, the next receipt stops it again.
    place.sms.check().await.unwrap();
    let (outcome, message) = sent().await;
    assert_eq!(outcome, Outcome::Sent);
    assert_eq!(place.receipt(&message, "undelivered", "30034").await, 204);
    assert!(matches!(sent().await.0, Outcome::Stop(_)));
    place.sms.check().await.unwrap();
    for _ in 0..50 {
        let (outcome, message) = sent().await;
        assert_eq!(outcome, Outcome::Sent);
        assert_eq!(place.receipt(&message, "delivered", "").await, 204);
    }
    let (_, message) = sent().await;
    assert_eq!(place.receipt(&message, "undelivered", "30034").await, 204);
    assert_eq!(sent().await.0, Outcome::Sent);
    place.close().await;
}
