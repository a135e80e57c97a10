//! Every view of a delivery tells the provider's code, and how often it was really tried.

use posthaste_model::{EnhancedStatus, OutcomeKind, ProviderCode, Reason};
use posthaste_store::AttemptReport;
use serde_json::{Value, json};

use crate::client::get;
use crate::intake::*;
use crate::intake_change::report_over;
use crate::service::Service;

#[tokio::test]
async fn deliveries_tell_the_code_of_the_provider_and_the_attempts_that_were_made() {
    let service = Service::start().await;
    let key = service.master().await;
    give(&service, &key, &order(7)).await;
    let smtp = |reply, class, subject, detail| {
        ProviderCode::of_smtp(Some(reply), EnhancedStatus::new(class, subject, detail))
    };
    let (failed, none) = (OutcomeKind::Failed, Value::Null);
    // What the provider said, and what is shown: status, reason, code, enhanced status, attempts.
    let cases = [
        (failed, Reason::Rejected, smtp(554, 5, 7, 1), json!(["failed", "rejected", 554, "5.7.1", 1])),
        (
            failed,
            Reason::InvalidAddress,
            smtp(550, 5, 1, 1),
            json!(["failed", "invalid_address", 550, "5.1.1", 1]),
        ),
        (
            failed,
            Reason::Undelivered,
            ProviderCode::of_number(30_003),
            json!(["failed", "undelivered", 30_003, none, 1]),
        ),
        (failed, Reason::Blocked, ProviderCode::of_number(901), json!(["failed", "blocked", 901, none, 1])),
        // Stored by an earlier version: the code is in the reason alone.
        (
            failed,
            Reason::Provider(451),
            ProviderCode::NONE,
            json!(["failed", "provider_error", 451, none, 1]),
        ),
        (
            OutcomeKind::Suppressed,
            Reason::Blocked,
            ProviderCode::NONE,
            json!(["suppressed", "blocked", none, none, 0]),
        ),
        (OutcomeKind::Sent, Reason::None, ProviderCode::NONE, json!(["sent", none, none, none, 1])),
    ];
    let reports = (0..).zip(&cases).map(|(delivery, (outcome, reason, code, _))| AttemptReport {
        delivery,
        attempt: 1,
        outcome: *outcome,
        reason: *reason,
        value: code.packed(),
    });
    let channel = "email".parse().expect("a channel");
    let id = report_over(&service, &channel, reports.collect()).await.wire_id();
    let path = format!("/v1/orders/{id}/deliveries?limit=10");
    let page = service.ask(get(&path).key(&key)).await.json();
    let items = page["items"].as_array().expect("deliveries");
    assert_eq!(items.len(), cases.len());
    let names = ["status", "reason", "provider_code", "enhanced_status", "attempt_count"];
    for (item, (.., wanted)) in items.iter().zip(&cases) {
        let shown = names.map(|name| item[name].clone());
        assert_eq!(json!(shown), *wanted, "{item}");
    }
    let counts = service.ask(get(&format!("/v1/orders/{id}")).key(&key)).await.json()["counts"].clone();
    let shown = ["total", "failed", "suppressed", "sent"].map(|name| counts[name].clone());
    assert_eq!(json!(shown), json!([7, 5, 1, 1]), "{counts}");
}
