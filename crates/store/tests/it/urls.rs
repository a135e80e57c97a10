//! The kinds of URL that can be tried on one machine, and reading settings.

use std::time::Duration;

use posthaste_model::Durability;
use posthaste_store::{ConnectError, Role, Settings, Store};

use crate::house::*;

#[tokio::test]
async fn a_password_can_be_in_the_url_or_separate() {
    let server = builder().tcp().password("sesame").start().unwrap();
    for url in [server.url(), server.tcp_url().unwrap()] {
        Store::connect(settings(&url), Role::Tool).await.unwrap();
    }
    let bare = format!("redis://{}", server.tcp_addr().unwrap());
    let beside = Settings { password: Some("sesame".to_owned().into()), ..settings(&bare) };
    Store::connect(beside, Role::Tool).await.unwrap();
    for password in [Some("canary".to_owned().into()), None] {
        let reported = Store::connect(Settings { password, ..settings(&bare) }, Role::Tool).await;
        let shown = format!("{reported:?}");
        assert!(matches!(reported, Err(ConnectError::Settings { key: "password", .. })), "{shown}");
        assert!(!shown.contains("canary"));
    }
}

#[tokio::test]
async fn invalid_settings_are_refused_before_connecting() {
    let bad = [
        ("partitions", Settings { partitions: 0, ..Settings::default() }),
        ("connections", Settings { connections: 0, ..Settings::default() }),
        ("connections", Settings { connections: 17, ..Settings::default() }),
        ("call_timeout", Settings { call_timeout: Duration::ZERO, ..Settings::default() }),
        ("confirm_timeout", Settings { confirm_timeout: Duration::ZERO, ..Settings::default() }),
        ("url", settings("http://127.0.0.1")),
    ];
    for (wrong, settings) in bad {
        match Store::connect(settings, Role::Tool).await {
            Err(ConnectError::Settings { key, .. }) => assert_eq!(key, wrong),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn settings_are_read_with_units_and_unknown_ones_refused() {
    let read: Settings = serde_json::from_str(
        r#"{"url": "redis://h", "partitions": 64, "durability": "strict", "call_timeout": "250ms", "password": "canary"}"#,
    )
    .unwrap();
    assert_eq!((read.partitions, read.durability), (64, Durability::Strict));
    assert_eq!(
        (read.call_timeout, read.confirm_timeout),
        (Duration::from_millis(250), Duration::from_secs(4))
    );
    assert!(!format!("{read:?}").contains("canary"));
    assert!(serde_json::from_str::<Settings>(r#"{"uri": "redis://h"}"#).is_err());
}
