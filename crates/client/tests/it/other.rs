//! Suppressions, keys, couriers, parked records, limits.

use posthaste_client::{AddressBatch, KeyRequest};
use posthaste_model::{Address, Channel, SenderId};
use posthaste_rig::http::HttpReply;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::server::{Scene, body, json, line};

/// A response without a body.
fn none() -> HttpReply {
    HttpReply::Say(204, String::new(), String::new())
}

fn email() -> Channel {
    "email".parse().expect("a channel")
}

#[tokio::test]
async fn addresses_are_sent_in_bodies_and_print_masked() {
    let entry = json!({"id": "e1", "scope": "channel", "active": true, "reason": "bounced", "source": "bounce",
        "created_at": "2026-11-20T12:00:00Z", "failure_count": 3});
    let scene = Scene::with([
        json(200, json!({"items": [{"suppressed": true, "entries": [entry]}, {"suppressed": false, "entries": []}]})),
        json(200, json!({"added_count": 1, "unchanged_count": 1})),
        json(200, json!({"deleted_count": 2, "not_found_count": 0})),
    ])
    .await;
    let (one, other) = (Address::new("canary@example.org"), Address::new("canary@example.net"));
    let (channel, sender): (Channel, SenderId) = (email(), "office".parse().expect("an id"));
    let batch = AddressBatch { channel: &channel, addresses: vec![&one, &other], sender_id: Some(&sender) };
    assert!(!format!("{batch:?}").contains("canary"), "{batch:?}");
    let found = scene.client.look_up_suppressions(&batch).await.expect("entries").items;
    assert_eq!((found[0].suppressed, found[0].entries[0].seen.failure_count), (true, 3));
    assert!(!found[1].suppressed && found[1].entries.is_empty());
    let added = scene.client.add_suppressions(&batch).await.expect("added");
    assert_eq!((added.added_count, added.unchanged_count), (1, 1));
    let deleted = scene.client.delete_suppressions(&batch).await.expect("deleted");
    assert_eq!((deleted.deleted_count, deleted.not_found_count), (2, 0));
    let requested = scene.requests();
    let lines: Vec<String> = requested.iter().map(line).collect();
    assert_eq!(
        lines,
        ["POST /v1/suppressions/lookup", "POST /v1/suppressions", "POST /v1/suppressions/delete"]
    );
    let addresses = ["canary@example.org", "canary@example.net"];
    let expected = json!({"channel": "email", "addresses": addresses, "sender_id": "office"});
    assert!(requested.iter().all(|requested| body(requested) == expected), "{requested:?}");
}

#[tokio::test]
async fn suppressions_are_listed_and_deleted_by_id() {
    let page = json!({"items": [{"id": "e1", "active": false}], "next_cursor": "c2"});
    let scene = Scene::with([json(200, page), none()]).await;
    let page = scene.client.suppressions(&email(), 1_000, Some("c1")).await.expect("a page");
    assert_eq!((page.items[0].seen.active, page.next_cursor.as_deref()), (false, Some("c2")));
    scene.client.delete_suppression(&email(), "e1").await.expect("deleted");
    let lines: Vec<String> = scene.requests().iter().map(line).collect();
    assert_eq!(
        lines,
        ["GET /v1/suppressions?channel=email&limit=1000&cursor=c1", "DELETE /v1/suppressions/email/e1"]
    );
}

#[tokio::test]
async fn a_new_key_is_reported_once_and_prints_masked() {
    let made = json!({"token": "ph_1_canarysecret", "id": "1", "name": "timetable", "scopes": ["write"]});
    let scene = Scene::with([json(201, made), json(200, json!({"items": [{"id": "1"}]})), none()]).await;
    let request = KeyRequest {
        name: "timetable".to_owned(),
        scopes: vec!["write".to_owned()],
        mailboxes: vec!["office@example.org".to_owned()],
        ..KeyRequest::default()
    };
    let made = scene.client.create_key(&request).await.expect("a key");
    assert_eq!(made.seen.token.expose_secret(), "ph_1_canarysecret");
    assert!(!format!("{made:?}").contains("canary"), "{made:?}");
    assert_eq!(scene.client.keys().await.expect("keys").items[0].seen.id, "1");
    scene.client.revoke_key("1").await.expect("revoked");
    let requested = scene.requests();
    let lines: Vec<String> = requested.iter().map(line).collect();
    assert_eq!(lines, ["POST /v1/api-keys", "GET /v1/api-keys", "DELETE /v1/api-keys/1"]);
    let expected = json!({"name": "timetable", "scopes": ["write"], "mailboxes": ["office@example.org"]});
    assert_eq!(body(&requested[0]), expected);
}

#[tokio::test]
async fn couriers_and_limits_are_read() {
    let couriers = json!({"items": [{"channel": "email", "online": true, "delivery_receipts": null}], "partitions_missing": [2]});
    let limit = json!({"used": 3, "limit": null, "remaining": null, "resets_at": "2026-11-21T00:00:00Z"});
    let scene = Scene::with([json(200, couriers), json(200, limit)]).await;
    let response = scene.client.couriers().await.expect("couriers");
    assert_eq!((response.items[0].seen.online, response.items[0].seen.delivery_receipts), (true, None));
    assert_eq!(response.partitions_missing, [2]);
    let sender: SenderId = "office".parse().expect("an id");
    let limit = scene.client.sender_limit(&sender, Some("teacher")).await.expect("a limit").seen;
    assert_eq!((limit.used, limit.limit, limit.resets_at.as_str()), (3, None, "2026-11-21T00:00:00Z"));
    assert_eq!(line(&scene.requests()[1]), "GET /v1/senders/office/daily-limit?role=teacher");
}

#[tokio::test]
async fn parked_orders_are_listed_released_and_ended() {
    let entry = json!({"order_id": "dev.17", "channel": "email", "parcel": 2, "reason": "damaged"});
    let scene = Scene::with([
        json(200, json!({"items": [entry], "partitions_missing": []})),
        json(200, json!({"order_id": "dev.17", "items": [entry]})),
        json(200, json!({"released_count": 1})),
        json(200, json!({"delivery_count": 500, "removed": false})),
    ])
    .await;
    let page = scene.client.parked(500, None).await.expect("a page");
    assert_eq!(page.items[0].seen.parcel, Some(2));
    assert_eq!(scene.client.parked_order("dev.17").await.expect("an order").seen.items.len(), 1);
    assert_eq!(scene.client.release_parked("dev.17").await.expect("released").seen.released_count, 1);
    let ended = scene.client.fail_parked("dev.17").await.expect("ended").seen;
    assert_eq!((ended.delivery_count, ended.removed), (500, false));
    let lines: Vec<String> = scene.requests().iter().map(line).collect();
    let expected = [
        "GET /v1/parked?limit=500",
        "GET /v1/parked/dev.17",
        "POST /v1/parked/dev.17/release",
        "POST /v1/parked/dev.17/fail",
    ];
    assert_eq!(lines, expected);
}
