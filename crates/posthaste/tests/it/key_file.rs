//! `posthaste key create --out`, health checks over a socket, and long lists of the outbox.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::cli::User;
use crate::script::{Script, json_of, problem};

const CREATE: [&str; 9] = ["key", "create", "--name", "n", "--scope", "write", "--sender", "me", "--out"];

#[tokio::test]
async fn a_key_is_written_to_a_new_private_file() {
    let (script, server) = Script::start().await;
    let key = format!("ph_3f9a0c1b2d4e_{}", "x".repeat(43));
    let made = json!({"id": "3f9a0c1b2d4e", "name": "n", "scopes": ["write"], "token": key});
    script.on("POST /v1/api-keys", json_of(201, made));
    let user = User::of(&server);
    let ended = user.run(&[&CREATE[..], &["me.key"]].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
    assert!(ended.err.contains("me.key") && !ended.err.contains("xxxx"), "{ended:?}");
    let file = user.path("me.key");
    assert_eq!(std::fs::read_to_string(&file).expect("the key"), format!("{key}\n"));
    assert_eq!(file.metadata().expect("its mode").permissions().mode() & 0o777, 0o600);
    // An existing key may still be in use: no request is made.
    let again = user.run(&[&CREATE[..], &["me.key"]].concat()).await;
    assert_eq!(again.code, 3, "{again:?}");
    assert_eq!(script.requested_for("POST /v1/api-keys").len(), 1);
    assert_eq!(std::fs::read_to_string(&file).expect("the key"), format!("{key}\n"));
}

#[tokio::test]
async fn without_a_key_there_is_no_file() {
    let (script, server) = Script::start().await;
    script.on("POST /v1/api-keys", problem(409, "key_name_taken", json!([])));
    let user = User::of(&server);
    let ended = user.run(&[&CREATE[..], &["me.key"]].concat()).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(!user.path("me.key").exists());
    let ended = user.run(&[&CREATE[..], &["missing/me.key"]].concat()).await;
    assert_ne!(ended.code, 0, "{ended:?}");
    assert_eq!(script.requested_for("POST /v1/api-keys").len(), 1, "it was not asked for");
}

#[tokio::test]
async fn the_healthcheck_asks_over_a_unix_socket() {
    let user = User::fresh();
    let socket = user.path("admin.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let is_live = head[..read].starts_with(b"GET /livez ");
            let status = if is_live { "200 OK" } else { "503 Service Unavailable" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let address = format!("unix:{}", socket.display());
    let missing = format!("unix:{}", user.path("none.sock").display());
    for (args, code) in [
        (&["healthcheck", address.as_str(), "--live"][..], 0),
        (&["healthcheck", address.as_str()][..], 1),
        (&["healthcheck", missing.as_str()][..], 1),
        (&["healthcheck", "unix:admin.sock"][..], 2),
    ] {
        let ended = user.run(args).await;
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
    }
}

#[tokio::test]
async fn the_outbox_is_listed_over_several_pages() {
    let (script, server) = Script::start().await;
    let message =
        |id: u64| json!({"id": id, "channel": "email", "at": "2026-11-20T12:00:00Z", "recipients": []});
    let page = |from: u64, next: Option<&str>| {
        let items: Vec<_> = (from - 49..=from).rev().map(message).collect();
        json_of(200, json!({"items": items, "next_cursor": next}))
    };
    script.on("GET /outbox", page(120, Some("71")));
    script.on("GET /outbox", page(70, None));
    let args = ["outbox", "list", "--outbox", server.as_str(), "--limit", "80", "-o", "ndjson"];
    let ended = User::fresh().run(&args).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.out.lines().count(), 80, "{ended:?}");
    assert!(script.requested()[1].line.contains("cursor=71"), "{:?}", script.requested());
}
