//! Properties that hold for every order, whatever its content.

use std::collections::HashSet;
use std::sync::Arc;

use posthaste_model::UnixMs;
use posthaste_store::{KeyScope, KeyScopes};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::json;
use super::order::OrderBody;
use super::orders::check;
use super::recipient_validator::{Deliveries, Sorted};
use super::settings::Rules;
use super::validated_order::ValidatedOrder;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::settings::Args;

fn rules() -> Arc<Rules> {
    let settings = Args::default().load([]).unwrap().settings;
    Arc::new(Rules::new(&settings.orders, &settings.quiet_hours, &settings.daily_limits).unwrap())
}

fn caller() -> Caller {
    let scopes: KeyScopes = KeyScope::ALL.into_iter().collect();
    Caller::sample(scopes)
}

fn checked(order: &str, rules: &Arc<Rules>) -> Result<(ValidatedOrder, Sorted, Deliveries), Problem> {
    let body: OrderBody<'_> = json::object(order.as_bytes())?;
    let (draft, sorted, deliveries) = check(body, &caller(), None, rules)?;
    let order_id = "u1:7".parse().unwrap();
    draft.times(&order_id, UnixMs(1_795_000_000_000), rules).map_err(super::validation_error::refused)?;
    Ok((draft, sorted, deliveries))
}

/// Any JSON, with known and unknown names.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[a-z]{1,5}@[a-z]{1,5}\\.[a-z]{2,3}".prop_map(Value::from),
        "\\+7999[0-9]{7}".prop_map(Value::from),
        "20[0-9]{2}-1[0-9]-[0-3][0-9]T[0-2][0-9]:00:00Z".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((names(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn names() -> impl Strategy<Value = String> {
    let known = vec![
        "sender",
        "id",
        "name",
        "role",
        "email",
        "from_email",
        "reply_to",
        "recipients",
        "contacts",
        "sms",
        "telegram",
        "vk",
        "text",
        "subject",
        "html",
        "overrides",
        "channels",
        "deliver_at",
        "expires_at",
        "priority",
        "on_unknown",
        "address_mode",
        "on_invalid",
        "source",
        "metadata",
    ];
    prop_oneof![8 => proptest::sample::select(known).prop_map(str::to_owned), 1 => "\\PC{0,8}"]
}

/// A recipient, and whether it is valid.
fn recipient() -> impl Strategy<Value = (Value, bool)> {
    let good = (0..40_u32, 0..20_u32).prop_map(|(id, address)| {
        (json!({"id": format!("r{id}"), "contacts": {"email": [format!("a{address}@example.org")]}}), true)
    });
    let bad = prop_oneof![
        Just(json!({"id": "a b"})),
        Just(json!({"id": 7})),
        Just(json!([])),
        Just(json!({"contacts": {"email": ["nobody"]}})),
        Just(json!({"contacts": {"pager": ["1"]}})),
        Just(json!({"name": "a\r\nb"})),
        Just(json!({"fence": 9})),
    ];
    prop_oneof![4 => good, 1 => bad.prop_map(|bad| (bad, false))]
}

proptest! {
    #[test]
    fn no_order_causes_a_panic_or_a_server_error(body in anything()) {
        let rules = rules();
        for body in [body.clone(), json!({"sender": {"id": "u1"}, "text": "x", "recipients": [body]})] {
            if let Err(problem) = checked(&body.to_string(), &rules) {
                prop_assert!(problem.code().status().is_client_error(), "{:?}", problem);
            }
        }
    }

    #[test]
    fn an_order_with_an_invalid_recipient_is_refused_or_accepted_without_it(
        recipients in proptest::collection::vec(recipient(), 1..60),
    ) {
        let rules = rules();
        let list: Vec<Value> = recipients.iter().map(|(recipient, _)| recipient.clone()).collect();
        let order = |invalid: &str| {
            json!({"sender": {"id": "u1"}, "text": "x", "recipients": list, "on_invalid": invalid}).to_string()
        };
        let good = recipients.iter().filter(|(_, good)| *good).count();
        let refused = checked(&order("reject"), &rules);
        prop_assert_eq!(refused.is_ok(), good == recipients.len() && good > 0);
        match checked(&order("skip"), &rules) {
            Err(_) => prop_assert_eq!(good, 0),
            Ok((_, sorted, deliveries)) => {
                let tally = &sorted.tally;
                let ids: HashSet<_> = deliveries.iter().map(|(_, delivery)| delivery.recipient.clone()).collect();
                prop_assert_eq!(ids.len(), deliveries.len(), "one delivery for each id");
                prop_assert_eq!(usize::try_from(tally.accepted).unwrap(), deliveries.len());
                prop_assert_eq!(deliveries.len() + usize::try_from(tally.repeated_total).unwrap(), good);
                prop_assert_eq!(usize::try_from(tally.skipped_total).unwrap(), recipients.len() - good);
            }
        }
    }
}
