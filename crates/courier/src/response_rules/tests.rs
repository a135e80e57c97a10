//! The order of rules, each of their conditions and actions, and tables that are rejected.

use posthaste_model::{CodedReason, ProviderCode};

use super::*;
use crate::feedback::SuppressAfter;
use crate::http_request::HttpResponse;
use crate::transport::{Outcome, ThrottleScope};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Send,
}

impl TableWord for Stage {
    const WORDS: &'static [(&'static str, Self)] = &[("open", Self::Open), ("send", Self::Send)];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Divert,
}

impl TableWord for Own {
    const WORDS: &'static [(&'static str, Self)] = &[("divert", Self::Divert)];
}

type Rules = ResponseRules<Own, Stage>;
type Response<'a> = ProviderResponse<'a, Stage>;

const KEYS: &[&str] =
    &["at", "status", "form", "enhanced", "spread", "strikes", "policy", "content", "elsewhere", "shrink"];
const TABLE: RulesTable<Stage> =
    RulesTable { name: "the table", text: "", keys: KEYS, reason: |response| response.code_reason() };

fn rules(text: &str) -> Rules {
    Rules::parse("my.toml", text, &TABLE).unwrap()
}

/// One rule with these lines.
fn rule(lines: &[&str]) -> Rules {
    rules(&format!("[[rule]]\n{}\n", lines.join("\n")))
}

fn coded(code: &str) -> Response<'_> {
    ProviderResponse { status: Some(400), ..ProviderResponse::receipt(Some(code)) }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = rules(
        "[[rule]]\ncode = [\"21x\"]\nmeans = \"retry\"\n[[rule]]\ncode = [\"210\"]\nmeans = \"stop\"\n\
         [[rule]]\ncode = [\"7\", \"8\"]\nmeans = \"reject\"\n",
    );
    let found = |code| {
        let found = rules.classify(&coded(code));
        (found.rule, found.action)
    };
    assert_eq!(found("210"), (Some(1), ResponseAction::Retry));
    assert_eq!(found("8"), (Some(3), ResponseAction::Reject));
    assert_eq!(found("9"), (None, ResponseAction::Unknown));
    assert!(rules.names("215") && rules.names("7") && !rules.names("9"));
}

#[test]
fn every_condition_of_a_rule_has_to_apply() {
    let all = [
        "at = [\"send\"]",
        "status = [\"4xx\", \"503\"]",
        "form = \"coded\"",
        "code = [\"E_x\"]",
        "enhanced = [\"5.7.*\"]",
        "says = [\"Нет Денег\", \"no credit\"]",
        "means = \"reject\"",
    ];
    let rules = rule(&all);
    let fitting = Response {
        at: Some(Stage::Send),
        status: Some(503),
        code: Some("E_7".into()),
        enhanced: Some((5, 7, 1)),
        text: "ошибка: НЕТ ДЕНЕГ",
        wait: None,
    };
    assert_eq!(rules.classify(&fitting).rule, Some(1));
    for other in [
        Response { at: Some(Stage::Open), ..fitting.clone() },
        Response { at: None, ..fitting.clone() },
        Response { status: Some(500), ..fitting.clone() },
        Response { status: None, ..fitting.clone() },
        Response { code: Some("E_y".into()), ..fitting.clone() },
        Response { code: None, ..fitting.clone() },
        Response { enhanced: Some((5, 1, 7)), ..fitting.clone() },
        Response { enhanced: None, ..fitting.clone() },
        Response { text: "денег нет", ..fitting.clone() },
    ] {
        assert_eq!(rules.classify(&other).rule, None, "{other:?}");
    }
    let other = rule(&["form = \"other\"", "enhanced = [\"none\"]", "means = \"reject\""]);
    assert_eq!(other.classify(&Response { status: Some(200), ..Response::default() }).rule, Some(1));
    assert_eq!(other.classify(&coded("1")).rule, None);
    assert_eq!(rule(&["means = \"reject\""]).classify(&fitting).rule, Some(1));
}

#[test]
fn every_action_has_its_outcome() {
    let reason = CodedReason { reason: Reason::Rejected, code: ProviderCode::of_number(7) };
    let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
    for (lines, outcome) in [
        (&["means = \"wait\""][..], Ok(Outcome::Throttled { scope: ThrottleScope::Channel, wait: second })),
        (
            &["means = \"wait\"", "after = \"1h\""],
            Ok(Outcome::Throttled { scope: ThrottleScope::Channel, wait: hour }),
        ),
        (&["means = \"retry\""], Ok(Outcome::Retry { after: None, reason })),
        (&["means = \"retry\"", "after = \"1h\""], Ok(Outcome::Retry { after: Some(hour), reason })),
        (&["means = \"reject\""], Ok(Outcome::Failed(reason))),
        (&["means = \"strike\"", "strikes = 3"], Ok(Outcome::Strike { reason, of: 3 })),
        (&["means = \"suppress\""], Ok(Outcome::HardRefusal(reason))),
        (&["means = \"stop\""], Ok(Outcome::Stop("the token".to_owned()))),
        (&["means = \"unknown\""], Ok(Outcome::Unknown(reason.reason))),
        (&["means = \"divert\""], Err(Own::Divert)),
    ] {
        let rules = rule(&[lines, &["reason = \"rejected\""]].concat());
        let found = rules.classify(&coded("7"));
        assert_eq!(found.outcome(|| "the token".to_owned()), outcome, "{lines:?}");
        let is_final =
            matches!(outcome, Ok(Outcome::Failed(_) | Outcome::Strike { .. } | Outcome::HardRefusal(_)));
        assert_eq!(found.action.is_final(), is_final, "{lines:?}");
    }
}

#[test]
fn what_a_rule_says_besides_is_passed_on() {
    let rules = rule(&[
        "means = \"reject\"",
        "alarm = true",
        "policy = true",
        "content = true",
        "elsewhere = true",
        "shrink = true",
        "strikes = 5",
    ]);
    let found = rules.classify(&coded("7"));
    assert!(found.alarm && found.policy && found.content && found.elsewhere && found.shrink);
    assert_eq!(found.suppress_after(), Some(SuppressAfter::After(5)));
    let plain = rule(&["means = \"suppress\""]);
    let found = plain.classify(&coded("7"));
    assert!(!(found.alarm || found.policy || found.content || found.elsewhere || found.shrink));
    assert_eq!(found.suppress_after(), Some(SuppressAfter::Now));
    assert_eq!(rule(&["means = \"reject\""]).classify(&coded("7")).suppress_after(), None);
}

#[test]
fn the_response_names_the_wait_else_the_rule_does() {
    let rules = rule(&["means = \"wait\"", "after = \"5m\"", "spread = \"10m\""]);
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let wait = |wait| {
        let response = Response { wait, ..coded("7") };
        let found = rules.classify(&response);
        (found.after, found.spread, found.wait())
    };
    assert_eq!(wait(None), (Some(minutes(5)), minutes(10), minutes(5)));
    assert_eq!(wait(Some(minutes(1))), (Some(minutes(1)), Duration::ZERO, minutes(1)));
    assert_eq!(wait(Some(Duration::ZERO)), (Some(Duration::ZERO), Duration::ZERO, Duration::from_secs(1)));
    assert_eq!(
        wait(Some(Duration::MAX)),
        (Some(provider_wait::LONGEST), Duration::ZERO, provider_wait::LONGEST)
    );
}

#[test]
fn a_rule_without_a_reason_stores_the_code() {
    let rules = rule(&["means = \"reject\""]);
    let reason = |response: &Response<'_>| rules.classify(response).reason;
    assert_eq!(reason(&coded("21610")), Reason::Provider(21610));
    assert_eq!(reason(&coded("403")), Reason::Provider(403));
    assert_eq!(reason(&coded("99999")), Reason::Rejected);
    assert_eq!(reason(&Response { status: Some(404), ..Response::default() }), Reason::Provider(404));
    assert_eq!(reason(&Response::default()), Reason::Undelivered);
    let none = rule(&["code = [\"1\"]", "means = \"reject\""]);
    assert_eq!(none.classify(&coded("2")).reason, Reason::InvalidProviderResponse);
    assert_eq!(none.classify(&Response::receipt(Some("2"))).reason, Reason::Undelivered);
}

#[test]
fn invalid_tables_are_refused_with_place_and_remedy() {
    let reported = |text: &str| Rules::parse("my.toml", text, &TABLE).unwrap_err().to_string();
    for (text, words) in [
        ("", "my.toml, line 1: missing field `rule`"),
        ("[[rule]]\nmeens = \"reject\"\n", "my.toml, line 2: unknown field `meens`"),
        (
            "[[rule]]\nmeans = \"reject\"\n\n[[rule]]\nmeans = \"forget\"\n",
            "my.toml, line 5: unknown variant `forget`: use one of wait, retry, reject, strike, suppress, stop, unknown, \
             divert",
        ),
        (
            "[[rule]]\nat = [\"end\"]\nmeans = \"stop\"\n",
            "my.toml, line 2: unknown variant `end`: use one of open, send",
        ),
        (
            "[[rule]]\nmeans = \"stop\"\nenhanced = [\"5.1\"]\n",
            "my.toml, rule 1: an entry of enhanced is not a code",
        ),
        (
            "[[rule]]\nmeans = \"stop\"\nstatus = [\"4yy\"]\n",
            "my.toml, line 3: \"4yy\" is not a valid number",
        ),
        ("[[rule]]\nmeans = \"stop\"\nreason = \"bad\"\n", "my.toml, line 3: unknown reason \"bad\""),
        ("[[rule]]\nmeans = \"wait\"\nafter = \"10\"\n", "my.toml, line 3: "),
        (
            "[[rule]]\nmeans = \"strike\"\n",
            "my.toml, rule 1: \"strike\" requires strikes, at least 2 (line 1)",
        ),
        (
            "[[rule]]\nmeans = \"stop\"\n\n[[rule]]\nmeans = \"reject\"\nstrikes = 1\n",
            "my.toml, rule 2: strikes must be",
        ),
        (
            "[[rule]]\nmeans = \"suppress\"\nstrikes = 3\n",
            "my.toml, rule 1: \"suppress\" must not have strikes",
        ),
        ("[[rule]]\nmeans = \"stop\"\npolicy = true\n", "my.toml, rule 1: policy is for \"reject\" only"),
        ("[[rule]]\nmeans = \"stop\"\nelsewhere = true\n", "my.toml, rule 1: elsewhere is for"),
        ("[[rule]]\nmeans = \"retry\"\nspread = \"1m\"\n", "my.toml, rule 1: spread requires after"),
        (
            "[[rule]]\nmeans = \"reject\"\nsays = [\"\"]\n",
            "my.toml, rule 1: an entry of code or says is empty",
        ),
        (
            "[[rule]]\nmeans = \"reject\"\ncode = [\"\"]\n",
            "my.toml, rule 1: an entry of code or says is empty",
        ),
    ] {
        let reported = reported(text);
        assert!(reported.starts_with(words), "{reported}");
    }
    assert!(reported("[[rule]]\nmeans = \"stop\"\n\n[[rule]]\nmeans = \"strike\"\n").ends_with("(line 4)"));
}

#[test]
fn a_table_may_only_say_what_its_channel_uses() {
    let few = RulesTable { keys: &["cause"], ..TABLE };
    let reported = |text: &str| Rules::parse("my.toml", text, &few).unwrap_err().to_string();
    for line in [
        "at = [\"open\"]",
        "status = [\"200\"]",
        "form = \"other\"",
        "enhanced = [\"none\"]",
        "strikes = 2",
        "policy = true",
        "content = true",
        "elsewhere = true",
        "shrink = true",
    ] {
        let key = line.split(' ').next().unwrap();
        let reported = reported(&format!("[[rule]]\nmeans = \"reject\"\n{line}\n"));
        assert_eq!(
            reported,
            format!("my.toml, rule 1: {key} has no effect on this channel: remove it (line 1)")
        );
    }
    let misplaced = reported("[[rule]]\nmeans = \"retry\"\ncause = \"x\"\n");
    assert_eq!(misplaced, "my.toml, rule 1: cause is for \"stop\" only (line 1)");
    let reported = reported("[[rule]]\nmeans = \"stop\"\n");
    assert_eq!(reported, "my.toml, rule 1: \"stop\" requires cause: what the operator has to fix (line 1)");
    let named = Rules::parse("my.toml", "[[rule]]\nmeans = \"stop\"\ncause = \"no credit\"\n", &few).unwrap();
    assert_eq!(named.classify(&coded("1")).cause, "no credit");
}

#[test]
fn a_file_replaces_the_embedded_table() {
    let table = RulesTable { text: "[[rule]]\nmeans = \"stop\"\n", ..TABLE };
    assert_eq!(Rules::load("", &table).unwrap().classify(&coded("1")).action, ResponseAction::Stop);
    let file = std::env::temp_dir().join(format!("posthaste-rules-{}.toml", std::process::id()));
    std::fs::write(&file, "[[rule]]\nmeans = \"divert\"\n").unwrap();
    let loaded = Rules::load(file.to_str().unwrap(), &table);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(loaded.unwrap().classify(&coded("1")).action, ResponseAction::Special(Own::Divert));
    for missing in ["/nowhere/response_rules.toml", "/"] {
        let reported = Rules::load(missing, &table).unwrap_err().to_string();
        assert_eq!(reported, format!("{missing} can't be read: expected a text file of at most 1 MiB"));
    }
    let broken = RulesTable { text: "[[rule]]\n", ..TABLE };
    assert!(
        Rules::embedded(&broken).unwrap_err().to_string().starts_with("the table, line 1: missing field")
    );
}

#[test]
fn neither_code_nor_text_is_printed_unless_it_is_plain() {
    let answer = HttpResponse { status: 400, retry_after: None, body: b"canary".to_vec() };
    let label = |code| Response::http(&answer, code).label();
    assert_eq!([label(Some("E7")), label(Some("+7916 canary")), label(None)], ["E7", "HTTP 400", "HTTP 400"]);
    assert_eq!(label(Some("12345678901234567")), "HTTP 400");
    assert_eq!(Response::default().label(), "no code");
    assert!(!format!("{:?}", Response::http(&answer, Some("canary"))).contains("canary"));
}
