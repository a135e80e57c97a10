//! Every rule of the embedded files, and files that are rejected.

use posthaste_courier::provider_wait;
use posthaste_courier::response_rules::ResponseAction;
use posthaste_courier::{SuppressAfter, ThrottleScope};

use super::*;
use crate::twilio::ANSWERS;

type Response<'a> = ProviderResponse<'a>;

fn twilio() -> &'static SmsRules {
    static RULES: std::sync::OnceLock<SmsRules> = std::sync::OnceLock::new();
    RULES.get_or_init(|| SmsRules::embedded(&ANSWERS).unwrap())
}

fn code(status: u16, code: &str) -> SmsClassification<'static> {
    twilio().classify(&Response { status: Some(status), ..Response::receipt(Some(code)) })
}

fn late(code: &str) -> SmsClassification<'static> {
    twilio().classify(&Response::receipt(Some(code)))
}

#[test]
fn every_answer_of_twilio_means_what_the_facts_say() {
    use ResponseAction::{Reject, Retry, Special, Stop, Suppress, Unknown, Wait};
    let (invalid_address, undelivered, stopped) =
        (Reason::InvalidAddress, Reason::Undelivered, Reason::ChannelStopped);
    for (status, codes, meaning, reason) in [
        (429, &["20429", "20001"][..], Wait, Some(Reason::Throttled)),
        (401, &["20003", "20005", "1"], Stop, Some(stopped)),
        (403, &["20003", "20005", "30002", "77777"], Stop, Some(stopped)),
        (500, &["20500", "21211", "30003"], Unknown, Some(Reason::ProviderUnavailable)),
        (503, &["20503"], Unknown, Some(Reason::ProviderUnavailable)),
        (
            400,
            &["21211", "21214", "21217", "21614", "21635", "21265", "21266", "30005", "30006", "30011"],
            Suppress,
            Some(invalid_address),
        ),
        (400, &["21610"], Suppress, Some(Reason::OptedOut)),
        // A 403 about one country says nothing about the credentials.
        (403, &["21408"], Reject, None),
        (400, &["21408", "30004", "30007", "30032", "30034", "99999"], Reject, None),
        (400, &["21606", "21212", "21659", "21660", "21703", "30002"], Stop, Some(stopped)),
        (400, &["21612"], Special(SmsAction::StopAtSecond), None),
        (400, &["21602", "21617", "21604", "21605"], Reject, Some(Reason::Rejected)),
        (400, &["21611", "30001"], Wait, Some(Reason::Throttled)),
        (400, &["30003", "30008", "30017", "30018"], Retry, Some(undelivered)),
        (400, &["30036"], Reject, Some(undelivered)),
        (404, &["20404"], Stop, Some(stopped)),
    ] {
        for number in codes {
            let classification = code(status, number);
            let reason = reason.unwrap_or_else(|| Reason::Provider(number.parse().unwrap_or(u16::MAX)));
            let reason = if *number == "99999" { Reason::Rejected } else { reason };
            assert_eq!(
                (classification.action, classification.reason),
                (meaning, reason),
                "{status} {number}"
            );
        }
    }
}

#[test]
fn what_is_not_of_twilio_is_judged_by_its_status() {
    use ResponseAction::{Retry, Stop, Unknown, Wait};
    for (status, meaning) in [
        (200, Unknown),
        (201, Unknown),
        (101, Unknown),
        (302, Retry),
        (400, Retry),
        (413, Retry),
        (401, Stop),
        (403, Stop),
        (404, Stop),
    ] {
        assert_eq!(
            twilio().classify(&Response { status: Some(status), ..Response::default() }).action,
            meaning,
            "{status}"
        );
    }
    for (status, meaning) in [(407, Stop), (429, Wait), (500, Unknown), (502, Unknown), (504, Unknown)] {
        assert_eq!(
            twilio().classify(&Response { status: Some(status), ..Response::default() }).action,
            meaning,
            "{status}"
        );
    }
}

#[test]
fn a_full_queue_is_waited_for_and_a_phone_that_is_off_tried_again_hours_later() {
    assert_eq!(code(400, "21611").after, Some(Duration::from_secs(600)));
    assert_eq!(code(400, "30003").after, Some(Duration::from_secs(1800)));
    let said = Response { status: Some(429), wait: Some(Duration::from_secs(7)), ..Response::default() };
    let classification = twilio().classify(&said);
    let wait = Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(7) };
    assert_eq!(outcome(&classification, "Twilio", &said, &SenderHealth::new(0.5), "+79160000001"), wait);
    let said = Response { wait: Some(Duration::MAX), ..said };
    let wait = Outcome::Throttled { scope: ThrottleScope::Channel, wait: provider_wait::LONGEST };
    assert_eq!(
        outcome(&twilio().classify(&said), "Twilio", &said, &SenderHealth::new(0.5), "+79160000001"),
        wait
    );
    let said = Response { wait: Some(Duration::ZERO), ..said };
    let wait = Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(1) };
    assert_eq!(
        outcome(&twilio().classify(&said), "Twilio", &said, &SenderHealth::new(0.5), "+79160000001"),
        wait
    );
}

#[test]
fn what_may_be_the_senders_fault_is_counted() {
    for code in ["30004", "30007", "30032", "30034"] {
        assert!(late(code).policy, "{code}");
        let (said, sender) =
            (Response { status: Some(400), ..Response::receipt(Some(code)) }, SenderHealth::new(0.5));
        let outcome = || outcome(&twilio().classify(&said), "Twilio", &said, &sender, "+79160000001");
        for _ in 0..25 {
            assert!(matches!(outcome(), Outcome::Failed(_)), "{code}");
        }
        let Outcome::Stop(why) = outcome() else { panic!("{code} goes on") };
        assert!(why.ends_with(&format!("the last by Twilio ({code})")), "{why}");
    }
    for code in ["21610", "30003", "30006", "30008", "30036", "21408", "99999"] {
        assert!(!late(code).policy, "{code}");
    }
}

#[test]
fn a_receipt_bans_where_the_facts_suppress() {
    for code in ["30005", "30006", "30011", "21610", "21211", "21614", "21635"] {
        assert_eq!(late(code).suppress_after(), Some(SuppressAfter::Now), "{code}");
    }
    for code in ["30007", "30008", "30034", "30036", "30001", "30002", "30004", "30017", "63016", "21408"] {
        assert_eq!(late(code).suppress_after(), None, "{code}");
    }
    assert_eq!(late("30003").suppress_after(), Some(SuppressAfter::After(5)));
    assert_eq!((late("21610").reason, late("30006").reason), (Reason::OptedOut, Reason::InvalidAddress));
    assert_eq!((late("63016").reason, late("30003").reason), (Reason::Provider(63016), Reason::Undelivered));
    let none = twilio().classify(&Response::default());
    assert_eq!((none.reason, none.suppress_after()), (Reason::Undelivered, None));
}

#[test]
fn a_table_that_makes_no_sense_is_refused_with_its_place() {
    let reported = |text: &str| SmsRules::parse("my.toml", text, &ANSWERS).unwrap_err().to_string();
    for (text, words) in [
        ("", "my.toml, line 1: missing field `rule`"),
        (
            "[[rule]]\nmeans = \"reject\"\n\n[[rule]]\nmeans = \"forget\"\n",
            "my.toml, line 5: unknown variant",
        ),
        ("[[rule]]\nmeans = \"reject\"\nreason = \"bad\"\n", "my.toml, line 3: unknown reason \"bad\""),
        (
            "[[rule]]\nmeans = \"reject\"\nstatus = [\"4yy\"]\n",
            "my.toml, line 3: \"4yy\" is not a valid number",
        ),
        ("[[rule]]\nmeens = \"reject\"\n", "my.toml, line 2: unknown field `meens`"),
        ("[[rule]]\nmeans = \"strike\"\n", "my.toml, rule 1: \"strike\" requires strikes"),
        ("[[rule]]\nmeans = \"reject\"\nstrikes = 1\n", "my.toml, rule 1: strikes must be at least 2"),
        ("[[rule]]\nmeans = \"suppress\"\nstrikes = 3\n", "my.toml, rule 1: \"suppress\" must not have"),
        ("[[rule]]\nmeans = \"reject\"\nsays = [\"\"]\n", "my.toml, rule 1: an entry of code or says"),
        ("[[rule]]\nmeans = \"stop\"\npolicy = true\n", "my.toml, rule 1: policy is for"),
        ("[[rule]]\nmeans = \"wait\"\nafter = \"10\"\n", "my.toml, line 3: "),
    ] {
        let reported = reported(text);
        assert!(reported.starts_with(words), "{reported}");
    }
    assert_eq!(
        SmsRules::load("/nowhere/response_rules.toml", &ANSWERS).unwrap_err().to_string(),
        "/nowhere/response_rules.toml can't be read: expected a text file of at most 1 MiB"
    );
}

#[test]
fn codes_may_be_words_and_texts_may_be_looked_for() {
    let answers = SmsRules::parse(
        "my.toml",
        "[[rule]]\ncode = [\"NO_x\"]\nmeans = \"suppress\"\n[[rule]]\nsays = [\"Нет Денег\"]\nmeans = \"stop\"\n",
        &ANSWERS,
    )
    .unwrap();
    let action = |code, text| {
        answers.classify(&Response { status: Some(200), text, ..Response::receipt(code) }).action
    };
    assert_eq!(action(Some("NO_7"), ""), ResponseAction::Suppress);
    assert_eq!(action(Some("NO_y"), ""), ResponseAction::Unknown);
    assert_eq!(action(None, "ошибка: НЕТ ДЕНЕГ"), ResponseAction::Stop);
}
