//! Acceptance and couriers judge by one rule: whatever acceptance takes without a warning, every courier can send.

use std::sync::{Arc, LazyLock};

use posthaste_courier::conformance::sample;
use posthaste_courier::{Envelope, Transport};
use posthaste_model::{CHANNELS, Reason};
use posthaste_queue::intake::judgement::Judge;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Closed ports: nothing is sent, only composed.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The queue and the couriers with their defaults, as far as they have any.
struct Bench {
    judge: Judge,
    couriers: Vec<Box<dyn Transport>>,
    _runtime: Runtime,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    // Some transports start tasks.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let guard = runtime.enter();
    let token = format!("123456:{}", "a".repeat(35));
    let email = [
        ("smtp.relays", "smtp://127.0.0.1:9"),
        ("email.from", "Office <office@example.org>"),
        ("email.from_domains", "club.example"),
        ("email.reply_to_domains", "*"),
    ];
    let sms = [
        ("twilio.api_url", NOWHERE),
        ("twilio.account_sid", "AC00000000000000000000000000000001"),
        ("twilio.auth_token", "0123456789abcdef0123456789abcdef"),
        ("twilio.from", "+12025550100"),
    ];
    let telegram = [("telegram.api_url", NOWHERE), ("telegram.tokens", token.as_str())];
    let vk = [("vk.api_url", NOWHERE), ("vk.token", "vk1.a.secret")];
    let webhook = [("webhook.hosts", "*"), ("webhook.http", "true"), ("webhook.ports", "80,443")];
    let couriers: Vec<Box<dyn Transport>> = vec![
        Box::new(sample::transport::<posthaste_courier_email::Args>(None, &email).expect("e-mail")),
        Box::new(sample::transport::<posthaste_courier_sms::Args>(None, &sms).expect("SMS")),
        Box::new(sample::transport::<posthaste_courier_telegram::Args>(None, &telegram).expect("Telegram")),
        Box::new(sample::transport::<posthaste_courier_vk::Args>(None, &vk).expect("VK")),
        Box::new(sample::transport::<posthaste_courier_webhook::Args>(None, &webhook).expect("webhooks")),
    ];
    drop(guard);
    let judge = Judge::new(&[
        ("POSTHASTE_ORDERS__PHONE_COUNTRIES", "*"),
        ("POSTHASTE_ORDERS__CHANNELS", "email,sms,telegram,vk,webhook"),
    ]);
    Bench { judge, couriers, _runtime: runtime }
});

/// What each courier says about the deliveries of an order that acceptance takes: channel, whether it was warned
/// about, and why the courier refuses. `None`: acceptance refuses the order.
fn judged(order: &Value) -> Option<Vec<(String, bool, Option<Reason>)>> {
    let accepted = BENCH.judge.judge(order.to_string().as_bytes()).ok()?;
    let content = Arc::new(accepted.content);
    let judgements = accepted.deliveries.into_iter().map(|(channel, delivery)| {
        let courier = BENCH.couriers.iter().find(|courier| courier.channel() == channel).expect("a courier");
        let envelope = Envelope { to: delivery, content: Arc::clone(&content), ..sample::envelope("x", "x") };
        let warned = accepted.warned.contains(&channel);
        (channel.to_string(), warned, courier.refuses(&envelope))
    });
    Some(judgements.collect())
}

fn order(text: &str, contacts: &Value) -> Value {
    json!({"sender": {"id": "u1"}, "text": text, "recipients": [{"contacts": contacts}]})
}

fn everywhere() -> Value {
    json!({"email": ["anna@example.org"], "sms": ["+12025550123"], "telegram": [1001], "vk": [2001],
        "webhook": ["https://example.org/anna"]})
}

#[test]
fn there_is_a_courier_for_every_channel() {
    let couriers: Vec<_> = BENCH.couriers.iter().map(|courier| courier.channel().to_string()).collect();
    let channels: Vec<_> = CHANNELS.iter().map(|channel| channel.name).collect();
    assert_eq!(couriers, channels);
}

#[test]
fn what_users_tried_is_taken_by_both_or_refused_by_acceptance() {
    let with = |field: &str, value: Value| {
        let mut order = order("Hello", &everywhere());
        order[field] = value;
        order
    };
    for subject in
        ["😀".repeat(226), "😀".repeat(255), "What is 2+2=? and why?=".to_owned(), "Привет  мир".to_owned()]
    {
        let judgements = judged(&with("subject", json!(subject))).expect("taken");
        assert!(
            judgements.iter().all(|(_, warned, refused)| !warned && refused.is_none()),
            "{subject}: {judgements:?}"
        );
    }
    let mut named = order("Hello", &everywhere());
    named["recipients"][0]["name"] = json!("=?UTF-8?Q?Anna?=");
    assert!(judged(&named).expect("taken").iter().all(|(_, _, refused)| refused.is_none()));
    for (channel, address, is_taken) in [
        ("email", "o`brien@example.org", true),
        ("email", "a@ex--ample.org", true),
        ("email", "a@xn--e1afmkfd.xn--p1ai", true),
        ("email", "a@xn--.org", false),
        ("email", "a@example.123", false),
        ("email", "a@example.1-2", false),
        ("telegram", "4503599627370495", true),
        ("telegram", "4503599627370496", false),
        ("vk", "4503599627370496", true),
        ("vk", "4503599627370497", false),
    ] {
        let judgements = judged(&order("Hello", &json!({channel: [address]})));
        assert_eq!(judgements.is_some(), is_taken, "{channel} {address}");
        for (_, _, refused) in judgements.into_iter().flatten() {
            assert_eq!(refused, None, "{channel} {address}");
        }
    }
}

#[test]
fn deliveries_that_acceptance_warns_about_are_those_that_couriers_refuse() {
    for (length, failing) in [
        (1600, &[][..]),
        (1601, &["sms"]),
        (4096, &["sms"]),
        (4200, &["sms", "vk"]),
        (65_536, &["sms", "vk"]),
    ] {
        let judgements = judged(&order(&"x".repeat(length), &everywhere())).expect("taken");
        for (channel, warned, refused) in judgements {
            assert_eq!(warned, failing.contains(&channel.as_str()), "{channel} {length}");
            assert_eq!(warned, refused.is_some(), "{channel} {length}: {refused:?}");
        }
    }
    for channel in ["sms", "vk"] {
        assert!(
            judged(&order(&"x".repeat(4200), &json!({channel: everywhere()[channel]}))).is_none(),
            "{channel}"
        );
    }
}

/// Words for one line.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,80}",
        "[ -~]{0,255}",
        "[a-zA-Zа-яА-Я😀 ]{0,255}",
        "(=\\?|\\?=| |\"|\\\\|<|>|,|=\\?utf-8\\?[bq]\\?){0,40}",
        (
            200..=260_usize,
            proptest::sample::select(vec!["😀", "я", "x", "= ", "👩\u{200d}👩\u{200d}👧", "e\u{301}"])
        )
            .prop_map(|(count, letter)| letter.repeat(count).chars().take(255).collect()),
    ]
}

/// A text, short or near a limit.
fn text() -> impl Strategy<Value = String> {
    let near = proptest::sample::select(vec![160, 1600, 4096, 8192, 20_000]);
    prop_oneof![
        3 => "[ -~\\n]{1,200}",
        3 => "\\PC{1,200}",
        2 => (near, 0..3_usize, proptest::sample::select(vec!["x", "я", "😀", "a ", "ы\n\n", "=", "€"]))
            .prop_map(|(limit, more, letter)| letter.repeat(limit).chars().take(limit + more - 1).collect()),
    ]
}

fn mailbox() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,20}@[a-z0-9-]{1,12}\\.[a-z0-9-]{2,6}",
        "[a-z]{1,64}@(xn--[a-z0-9-]{1,12}|[a-zа-я]{1,9}--[a-z]{1,5}|[a-zа-яß]{1,9})\\.(org|рф|xn--p1ai|[0-9]{1,3}|[a-z0-9]{1,4})",
        "[a-z]{50,66}@([a-z]{50,63}\\.){2,4}org",
    ]
}

fn contacts() -> impl Strategy<Value = Value> {
    let chat = prop_oneof!["-?[0-9]{1,17}", "@[a-zA-Z0-9_]{3,33}", "450359962737049[4-7]"];
    let phone = prop_oneof!["\\+[1-9][0-9]{5,15}", "\\+7 9[0-9]{2} [0-9]{3}-[0-9]{2}-[0-9]{2}"];
    let url = "https?://([a-z0-9.-]{1,20}|пример)\\.(org|рф)(/[!-~]{0,20})?";
    (mailbox(), phone, chat, "-?[0-9]{1,17}|450359962737049[4-7]", url).prop_map(|(email, sms, telegram, vk, webhook)| {
        json!({"email": [email], "sms": [sms], "telegram": [telegram], "vk": [vk], "webhook": [webhook]})
    })
}

proptest! {
    #[test]
    fn what_acceptance_takes_every_courier_can_send(
        (subject, name, sender_name) in (line(), line(), line()),
        (text, own, html) in (text(), proptest::option::of(text()), proptest::option::of(text())),
        (from, reply_to) in (proptest::option::of("[a-z`]{1,5}@(club|other)\\.example"), proptest::option::of(mailbox())),
        contacts in contacts(),
    ) {
        let mut order = json!({
            "sender": {"id": "u1", "name": sender_name}, "subject": subject, "text": text, "on_invalid": "skip",
            "recipients": [{"id": "a", "name": name, "contacts": contacts},
                {"id": "b", "contacts": everywhere()}],
        });
        if let Some(html) = html {
            order["html"] = json!(html);
        }
        if let Some(own) = own {
            order["overrides"] = json!({"vk": {"text": own}});
        }
        for (field, given) in [("from_email", from), ("reply_to", reply_to)] {
            if let Some(given) = given {
                order["sender"][field] = json!(given);
            }
        }
        for (channel, warned, refused) in judged(&order).into_iter().flatten() {
            prop_assert_eq!(warned, refused == Some(Reason::Rejected), "{}: {:?}", channel, refused);
            // Hosts are judged by the settings of the webhook courier alone.
            let is_ours = channel != "webhook";
            prop_assert!(!is_ours || refused.is_none() || warned, "{}: {:?}", channel, refused);
        }
    }
}
