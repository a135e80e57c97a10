//! Every rule of the table of answers, with real texts of the Bot API.

use posthaste_courier::response_rules::{Classification, ResponseAction};
use posthaste_model::Reason;

use super::*;

const MIGRATE: ResponseAction<TelegramAction> = ResponseAction::Special(TelegramAction::Migrate);

fn rules() -> &'static TelegramRules {
    static RULES: std::sync::OnceLock<TelegramRules> = std::sync::OnceLock::new();
    RULES.get_or_init(|| TelegramRules::embedded(&TABLE).unwrap())
}

fn judge(status: u16, body: &str) -> Classification<'static, TelegramAction> {
    rules().classify(&BotAnswer::new(status, None, body.as_bytes()).response())
}

fn said(code: u16, description: &str) -> Classification<'static, TelegramAction> {
    judge(code, &serde_json::json!({"ok": false, "error_code": code, "description": description}).to_string())
}

#[test]
fn every_refusal_has_its_meaning() {
    use ResponseAction::{Reject, Retry, Stop, Strike, Suppress, Unknown};
    let (blocked, invalid_address, rejected) = (Reason::Blocked, Reason::InvalidAddress, Reason::Rejected);
    for (code, text, meaning, reason) in [
        (400, "Bad Request: chat not found", Strike, invalid_address),
        (400, "Bad Request: private chat not found", Strike, invalid_address),
        (400, "Bad Request: PEER_ID_INVALID", Strike, invalid_address),
        (400, "Bad Request: user not found", Strike, invalid_address),
        (403, "Forbidden: bot was blocked by the user", Suppress, blocked),
        (403, "Forbidden: user is deactivated", Suppress, invalid_address),
        (403, "Forbidden: bot can't initiate conversation with a user", Suppress, blocked),
        (403, "Forbidden: bot can't send messages to bots", Suppress, invalid_address),
        (403, "Forbidden: bot was kicked from the group chat", Suppress, blocked),
        (403, "Forbidden: bot was kicked from the supergroup chat", Suppress, blocked),
        (403, "Forbidden: bot was kicked from the channel chat", Suppress, blocked),
        (403, "Forbidden: bot is not a member of the supergroup chat", Suppress, blocked),
        (403, "Forbidden: bot is not a member of the channel chat", Suppress, blocked),
        (403, "Forbidden: the group chat was deleted", Suppress, invalid_address),
        (403, "Forbidden: something new", Suppress, blocked),
        (400, "Bad Request: not enough rights to send text messages to the chat", Reject, rejected),
        (400, "Bad Request: need administrator rights in the channel chat", Reject, rejected),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN", Reject, rejected),
        (400, "Bad Request: TOPIC_CLOSED", Reject, rejected),
        (400, "Bad Request: message is too long", Reject, rejected),
        (400, "Bad Request: message text is empty", Reject, rejected),
        (400, "Bad Request: can't parse entities: Can't find end of the entity", Reject, rejected),
        (400, "Bad Request: BUTTON_DATA_INVALID", Reject, rejected),
        (400, "Bad Request: reply markup is too long", Reject, rejected),
        (400, "Bad Request: something new", Reject, Reason::Provider(400)),
        (401, "Unauthorized", Stop, Reason::Provider(401)),
        (401, "Unauthorized: invalid token specified", Stop, Reason::Provider(401)),
        (404, "Not Found", Stop, Reason::Provider(404)),
        (409, "Conflict: terminated by other getUpdates request", Retry, Reason::ProviderUnavailable),
        (500, "Internal Server Error: restart", Unknown, Reason::ProviderUnavailable),
        (502, "Bad Gateway", Unknown, Reason::ProviderUnavailable),
    ] {
        let classified = said(code, text);
        assert_eq!((classified.action, classified.reason), (meaning, reason), "{code} {text}");
    }
}

#[test]
fn other_bots_are_tried_if_they_may_reach_the_chat() {
    for (code, text, elsewhere) in [
        (403, "Forbidden: bot can't initiate conversation with a user", true),
        (403, "Forbidden: bot is not a member of the channel chat", true),
        (400, "Bad Request: chat not found", true),
        (403, "Forbidden: bot was blocked by the user", true),
        (403, "Forbidden: user is deactivated", false),
        (403, "Forbidden: bot was kicked from the group chat", true),
        (400, "Bad Request: message is too long", false),
    ] {
        assert_eq!(said(code, text).elsewhere, elsewhere, "{text}");
    }
}

#[test]
fn faults_of_the_message_are_logged() {
    assert!(said(400, "Bad Request: can't parse entities: unsupported").alarm);
    assert!(said(400, "Bad Request: something new").alarm);
    assert!(!said(400, "Bad Request: chat not found").alarm);
    assert!(said(400, "Bad Request: message text is empty").content);
    assert!(!said(400, "Bad Request: something new").content);
}

#[test]
fn waits_come_from_the_answer_the_header_or_the_table() {
    let wait = |header: Option<u64>, body: &str| {
        let header = header.map(Duration::from_secs);
        let classified = rules().classify(&BotAnswer::new(429, header, body.as_bytes()).response());
        assert_eq!(classified.action, ResponseAction::Wait);
        classified.wait().as_secs()
    };
    let plain = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry later"}"#;
    let reported = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 30","parameters":{"retry_after":30}}"#;
    assert_eq!(wait(None, reported), 30);
    assert_eq!(wait(Some(7), reported), 30);
    assert_eq!(wait(Some(7), plain), 7);
    assert_eq!(wait(None, plain), 5);
    assert_eq!(wait(Some(9), "<html>slow down</html>"), 9);
    assert_eq!(wait(None, r#"{"ok":false,"error_code":429,"parameters":{"retry_after":0}}"#), 1);
    let long = r#"{"ok":false,"error_code":429,"parameters":{"retry_after":99999999999}}"#;
    assert_eq!(wait(None, long), 24 * 3600);
}

#[test]
fn a_chat_that_moved_names_its_new_id() {
    let text = "Bad Request: group chat was upgraded to a supergroup chat";
    let body = serde_json::json!({"ok": false, "error_code": 400, "description": text,
        "parameters": {"migrate_to_chat_id": -1_001_234_567_890_i64}});
    let answer = BotAnswer::new(400, None, body.to_string().as_bytes());
    assert_eq!(answer.migrated(), Some(-1_001_234_567_890));
    assert_eq!(rules().classify(&answer.response()).action, MIGRATE);
    // Without the new id there is nowhere to send to.
    assert_eq!(said(400, text).action, ResponseAction::Reject);
}

#[test]
fn accepted_is_accepted_whatever_the_message_looks_like() {
    for body in [
        r#"{"ok":true,"result":{"message_id":7,"chat":{"id":1}}}"#,
        r#"{"ok":true,"result":{"message_id":"new","shape":[{}]},"more":1}"#,
        r#"{"ok":true,"result":true}"#,
        r#"{"ok":true}"#,
    ] {
        assert!(BotAnswer::new(200, None, body.as_bytes()).is_taken(), "{body}");
    }
    for (status, body) in [
        (200, r#"{"ok":false}"#),
        (200, r#"{"ok":true,"result":{"#),
        (200, "<html></html>"),
        (200, ""),
        (200, r#"{"ok":"true"}"#),
        (502, r#"{"ok":true}"#),
    ] {
        assert!(!BotAnswer::new(status, None, body.as_bytes()).is_taken(), "{body}");
    }
}

#[test]
fn an_answer_of_another_server_is_judged_by_its_status() {
    use ResponseAction::{Retry, Stop, Unknown};
    for (status, body, meaning) in [
        (502, "<html>Bad Gateway</html>", Unknown),
        (504, "", Unknown),
        (200, "<html>log in</html>", Unknown),
        (200, r#"{"ok":true,"result":{"mess"#, Unknown),
        (200, r#"{"ok":false}"#, Unknown),
        (200, "[]", Unknown),
        (302, "", Retry),
        (403, "<html>forbidden here</html>", Retry),
        (400, "<html>", Retry),
        (404, "<html>nothing here</html>", Stop),
        (407, "", Stop),
        (101, "", Unknown),
        (502, r#"{"ok":true,"result":{}}"#, Unknown),
        (502, r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#, Unknown),
    ] {
        assert_eq!(judge(status, body).action, meaning, "{status} {body}");
    }
    // A gateway changed the status: the code of the Bot API counts.
    assert_eq!(
        judge(200, r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}"#)
            .action,
        ResponseAction::Suppress
    );
}

#[test]
fn an_answer_prints_without_its_words() {
    let answer = BotAnswer::new(400, None, br#"{"ok":false,"error_code":400,"description":"canary"}"#);
    assert_eq!(format!("{answer:?}"), "Answer(400, 400)");
}

/// Fields that are not needed are skipped without recursion; the fields that are parsed are not nested.
#[test]
fn nested_answers_do_no_harm() {
    for levels in [2 * 128, 1_000_000] {
        for name in ["result", "parameters"] {
            let (open, close) = ("{\"a\":".repeat(levels), "}".repeat(levels));
            let body = format!("{{\"ok\":true,\"{name}\":{open}1{close}}}");
            assert!(BotAnswer::new(200, None, body.as_bytes()).is_taken(), "{name} {levels}");
        }
        let arrays = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!BotAnswer::new(200, None, arrays.as_bytes()).is_taken(), "{levels}");
    }
}
