//! Invalid and contradictory settings are rejected by name, before anything is opened.

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{Capabilities, RunError, Settings};

use super::house::House;
use super::script::Script;

#[tokio::test]
async fn bad_settings_are_refused_by_name() {
    let house = House::open().await;
    let fine = Settings::default();
    let ms = Duration::from_millis;
    let cases: Vec<(&str, Settings, Capabilities)> = vec![
        ("lease", Settings { lease: ms(100), ..fine.clone() }, Capabilities::default()),
        (
            "renew_every",
            Settings { renew_every: Duration::from_secs(6), ..fine.clone() },
            Capabilities::default(),
        ),
        ("claim_limit", Settings { claim_limit: 0, ..fine.clone() }, Capabilities::default()),
        ("claim_limit", Settings { claim_limit: 201, ..fine.clone() }, Capabilities::default()),
        ("max_deliveries", Settings { max_deliveries: 499, ..fine.clone() }, Capabilities::default()),
        ("urgent_reserve", Settings { urgent_reserve: 91, ..fine.clone() }, Capabilities::default()),
        ("poll", Settings { poll: Duration::ZERO, ..fine.clone() }, Capabilities::default()),
        ("poll", Settings { poll: Duration::from_secs(11), ..fine.clone() }, Capabilities::default()),
        ("max_tries", fine.clone(), Capabilities { max_tries: 0, ..Capabilities::default() }),
        ("max_tries", fine.clone(), Capabilities { max_tries: 16, ..Capabilities::default() }),
        (
            "send_window",
            fine.clone(),
            Capabilities { send_window: Duration::ZERO, ..Capabilities::default() },
        ),
    ];
    let before = house.command(&["DBSIZE"]).int();
    for (key, settings, capabilities) in cases {
        let script = Script::accepting(capabilities);
        let courier = house.courier(Arc::clone(&script), settings).await;
        match courier.end().await {
            Err(RunError::Settings(bad)) => {
                assert_eq!(bad.key, key);
                assert!(bad.to_string().starts_with(key));
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    let named = |key: &str| house.command(&["EXISTS", key]).int();
    assert_eq!(named("request:{0}:email"), Some(0), "nothing was claimed");
    assert!(house.command(&["DBSIZE"]).int() <= before.map(|keys| keys + 1));
}
