//! Parses an answer of `execute` into the result of each call. Answers repeat what was sent, so their texts are dropped.

use std::collections::HashMap;

use serde_json::Value;

/// The method that calls use.
const METHOD: &str = "messages.send";

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExecuteResponse {
    /// The result of each call, in order.
    Results(Vec<Became>),
    /// The request failed with this error.
    Refused(u32),
    /// Not an answer of the API.
    Senseless,
}

/// The result of one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// A result for each of these peers.
    Peers(HashMap<i64, Word>),
    /// VK accepted the message for the single peer of the call.
    Taken,
    /// The call failed as a whole, with this error.
    Failed(u32),
    /// The result is unclear; VK would recognise a repeat. Holds the error the call may have had.
    Unclear(Option<u32>),
}

/// The result for one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// VK accepted the message.
    Taken,
    /// VK refused it with this error code.
    Refused(u32),
    /// VK refused it without an error code.
    RefusedSomehow,
    /// Neither, or contradictory.
    Unclear,
}

/// Parses the answer to a request with this number of calls.
pub(crate) fn read(body: &[u8], calls: usize) -> ExecuteResponse {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return ExecuteResponse::Senseless };
    if let Some(error) = body.get("error") {
        return code(error).map_or(ExecuteResponse::Senseless, ExecuteResponse::Refused);
    }
    // With more or fewer places than calls, they can't be matched.
    let Some(Value::Array(places)) = body.get("response") else { return ExecuteResponse::Senseless };
    if places.len() != calls {
        return ExecuteResponse::Senseless;
    }
    let errors = match body.get("execute_errors") {
        Some(Value::Array(errors)) => errors.as_slice(),
        _ => &[],
    };
    let of_calls = |error: &&Value| error.get("method").is_none_or(|method| method == METHOD);
    let errors: Vec<Option<u32>> = errors.iter().filter(of_calls).map(code).collect();
    let failed = places.iter().filter(|place| **place == Value::Bool(false)).count();
    // The errors name neither place nor peer. If there are as many errors as failed places, they match in order; else
    // not at all.
    let paired = failed == errors.len();
    let mut errors = errors.into_iter();
    let became = places.iter().map(|place| match place {
        Value::Bool(false) => match errors.next().flatten() {
            Some(code) if paired => Became::Failed(code),
            code => Became::Unclear(code),
        },
        Value::Array(items) => Became::Peers(words(items)),
        Value::Number(id) if id.as_u64().is_some_and(|id| id > 0) => Became::Taken,
        _ => Became::Unclear(None),
    });
    ExecuteResponse::Results(became.collect())
}

fn words(items: &[Value]) -> HashMap<i64, Word> {
    let mut words = HashMap::with_capacity(items.len());
    for item in items {
        let Some(peer) = item.get("peer_id").and_then(Value::as_i64) else { continue };
        let said = word(item);
        // Two contradictory results for a peer: neither counts.
        let counts = words.get(&peer).is_none_or(|before| *before == said);
        words.insert(peer, if counts { said } else { Word::Unclear });
    }
    words
}

fn word(item: &Value) -> Word {
    let has_id = ["message_id", "conversation_message_id"].iter().any(|name| item[name].is_u64());
    match item.get("error") {
        None | Some(Value::Null) if has_id => Word::Taken,
        None | Some(Value::Null) => Word::Unclear,
        Some(Value::String(_)) => Word::RefusedSomehow,
        Some(error) => code(error).map_or(Word::Unclear, Word::Refused),
    }
}

/// The code of an error: `error_code`, or `code` in the results of peers.
fn code(error: &Value) -> Option<u32> {
    let code = error.get("error_code").or_else(|| error.get("code"))?;
    u32::try_from(code.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn said(body: &Value, calls: usize) -> ExecuteResponse {
        read(body.to_string().as_bytes(), calls)
    }

    fn failed(places: &Value, errors: &Value) -> Vec<Became> {
        let calls = places.as_array().unwrap().len();
        let ExecuteResponse::Results(became) =
            said(&json!({"response": places, "execute_errors": errors}), calls)
        else {
            panic!("no results")
        };
        became
    }

    fn error(code: u32) -> Value {
        json!({"method": "messages.send", "error_code": code, "error_msg": "no"})
    }

    /// The JSON parser itself stops at 128 levels: deeper answers are not valid answers, and do no harm.
    #[test]
    fn deeply_nested_answers_are_refused() {
        let deep = |levels: usize| format!("{{\"response\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        for levels in [2 * 128, 1_000_000] {
            assert!(matches!(read(deep(levels).as_bytes(), 1), ExecuteResponse::Senseless), "{levels}");
        }
    }

    #[test]
    fn each_peer_has_its_result() {
        let items = json!([[
            {"peer_id": 1, "message_id": 5, "conversation_message_id": 2},
            {"peer_id": 2, "error": {"code": 901, "description": "no"}},
            {"peer_id": -3, "error": "Can't send messages for users without permission"},
            {"peer_id": 2_000_000_001, "message_id": 0, "conversation_message_id": 4, "error": null},
            {"peer_id": 5}, {"peer_id": 6, "message_id": "7"}, {"peer_id": "7", "message_id": 7}, 8, null,
            {"peer_id": 9, "message_id": 1}, {"peer_id": 9, "error": {"code": 7}},
            {"peer_id": 10, "error": {"description": "no"}},
        ]]);
        let ExecuteResponse::Results(became) = said(&json!({"response": items}), 1) else {
            panic!("no results")
        };
        let wanted = [
            (1, Word::Taken),
            (2, Word::Refused(901)),
            (-3, Word::RefusedSomehow),
            (2_000_000_001, Word::Taken),
            (5, Word::Unclear),
            (6, Word::Unclear),
            (9, Word::Unclear),
            (10, Word::Unclear),
        ];
        assert_eq!(became, [Became::Peers(wanted.into_iter().collect())]);
    }

    #[test]
    fn the_kth_false_has_the_kth_error() {
        let became = failed(&json!([false, [], false, 17]), &json!([error(6), error(901)]));
        assert_eq!(
            became,
            [Became::Failed(6), Became::Peers(HashMap::new()), Became::Failed(901), Became::Taken]
        );
    }

    #[test]
    fn errors_of_other_methods_match_no_call() {
        let others = json!([{"method": "users.get", "error_code": 5}, error(901)]);
        assert_eq!(failed(&json!([false]), &others), [Became::Failed(901)]);
    }

    #[test]
    fn errors_that_do_not_match_in_number_decide_nothing() {
        let unclear = |codes: &[Option<u32>]| codes.iter().copied().map(Became::Unclear).collect::<Vec<_>>();
        assert_eq!(failed(&json!([false, false]), &json!([error(901)])), unclear(&[Some(901), None]));
        assert_eq!(failed(&json!([false]), &json!([error(5), error(901)])), unclear(&[Some(5)]));
        assert_eq!(failed(&json!([false]), &json!(null)), unclear(&[None]));
        assert_eq!(failed(&json!([false]), &json!([{"method": "messages.send"}])), unclear(&[None]));
        assert_eq!(failed(&json!([null, true, {}, 0, "x"]), &json!([])), unclear(&[None; 5]));
    }

    #[test]
    fn a_request_fails_as_a_whole_or_its_answer_is_invalid() {
        assert_eq!(
            said(&json!({"error": {"error_code": 13, "error_msg": "x"}}), 1),
            ExecuteResponse::Refused(13)
        );
        for body in [
            json!({"error": "x"}),
            json!({"error": {"error_code": -1}}),
            json!({"error": {"error_code": "5"}}),
            json!({"response": []}),
            json!({"response": [[], []]}),
            json!({"response": 1}),
            json!({"ok": true}),
            json!([]),
        ] {
            assert_eq!(said(&body, 1), ExecuteResponse::Senseless, "{body}");
        }
        assert_eq!(read(b"<html>", 1), ExecuteResponse::Senseless);
        assert_eq!(read(b"", 0), ExecuteResponse::Senseless);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(body in "[\\[\\]{}:,\"a-z0-9]{0,80}", calls in 0..5_usize) {
            let _ = read(body.as_bytes(), calls);
            if let ExecuteResponse::Results(became) = read(format!("{{\"response\":[{body}]}}").as_bytes(), calls) {
                prop_assert_eq!(became.len(), calls);
            }
        }
    }
}
