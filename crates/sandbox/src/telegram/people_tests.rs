//! Updates, requests that wait for them, and blocks.

use std::time::Duration;

use super::*;

const BOT: u64 = 42;
const AT: UnixMs = UnixMs(1_760_000_000_000);

/// The numbers of the updates in an answer.
fn numbers(answer: &Answer) -> Vec<i64> {
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(said["ok"], true, "{said}");
    said["result"].as_array().unwrap().iter().map(|update| update["update_id"].as_i64().unwrap()).collect()
}

fn requested(people: &mut People, parameters: &Value) -> Reply {
    people.ask(BOT, parameters)
}

#[test]
fn updates_are_returned_until_they_are_confirmed() {
    let mut people = People::new();
    let all: Vec<i64> = (1..=5).map(|person| people.write(BOT, person, "x", AT)).collect();
    assert_eq!(all, (BEFORE + 1..=BEFORE + 5).collect::<Vec<_>>());
    for _ in 0..2 {
        assert_eq!(numbers(&requested(&mut people, &json!({"limit": 2})).answer), all[..2]);
    }
    assert_eq!(numbers(&requested(&mut people, &json!({"offset": all[2]})).answer), all[2..]);
    assert_eq!(numbers(&requested(&mut people, &json!({"offset": -1})).answer), all[4..]);
    assert_eq!(numbers(&requested(&mut people, &json!({"offset": all[4] + 1})).answer), [0_i64; 0]);
    assert_eq!(numbers(&people.ask(7, &json!({})).answer), [0_i64; 0]);
    for strange in [json!({"limit": -1, "timeout": -1}), json!({"limit": "many", "offset": []})] {
        assert!(requested(&mut people, &strange).poll.is_none());
    }
    assert!(requested(&mut people, &json!({"offset": i64::MIN})).poll.is_none());
}

#[test]
fn a_request_stays_open_until_an_update_or_another_request() {
    let mut people = People::new();
    let mut poll = requested(&mut people, &json!({"timeout": 600})).poll.unwrap();
    assert_eq!(poll.most, Duration::from_secs(50));
    assert!(poll.reported.try_recv().is_err());
    let number = people.block(BOT, 7, true, AT);
    assert_eq!(numbers(&poll.reported.try_recv().unwrap()), [number]);
    // It is not confirmed, so the next request gets it at once.
    assert!(requested(&mut people, &json!({"timeout": 25})).poll.is_none());
    let confirms = json!({"timeout": 25, "offset": number + 1});
    let mut first = requested(&mut people, &confirms).poll.unwrap();
    let mut second = requested(&mut people, &confirms).poll.unwrap();
    assert_eq!(first.reported.try_recv().unwrap().status, 409);
    people.write(BOT, 7, "x", AT);
    assert!(!numbers(&second.reported.try_recv().unwrap()).is_empty());
}

#[test]
fn a_blocker_is_not_reached_until_they_unblock_or_write() {
    let mut people = People::new();
    people.block(BOT, 7, true, AT);
    assert!(people.has_blocked(BOT, "7") && !people.has_blocked(BOT, "8") && !people.has_blocked(43, "7"));
    people.block(BOT, 7, false, AT);
    assert!(!people.has_blocked(BOT, "7"));
    people.block(BOT, 7, true, AT);
    people.write(BOT, 7, "/start", AT);
    assert!(!people.has_blocked(BOT, "7") && !people.has_blocked(BOT, "@seven"));
    let said: Value = serde_json::from_str(&requested(&mut people, &json!({})).answer.body).unwrap();
    let status = |at: usize| &said["result"][at]["my_chat_member"]["new_chat_member"]["status"];
    assert_eq!([status(0), status(1), status(2), status(3)], ["kicked", "member", "kicked", "member"]);
    assert_eq!(said["result"][4]["message"]["text"], "/start");
}

#[test]
fn what_is_kept_of_a_bot_is_bounded() {
    let mut people = People::new();
    for _ in 0..MOST_KEPT + 3 {
        people.write(BOT, 7, "x", AT);
    }
    assert_eq!(numbers(&requested(&mut people, &json!({"limit": 1})).answer), [BEFORE + 4]);
}
