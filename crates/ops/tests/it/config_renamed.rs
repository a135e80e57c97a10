//! Old names of settings are refused, and the message names the new one.

use std::ffi::OsString;

use posthaste_ops::config::{RENAMED, Sources};
use serde::Deserialize;

/// A section without settings, so that every key in it is unknown.
#[derive(Debug, Default, Deserialize)]
struct Empty {}

/// All sections that had settings with other names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sections {
    bounces: Empty,
    courier: Empty,
    gateway: Empty,
    http: Empty,
    keys: Empty,
    orders: Empty,
    sms: Empty,
    smtp: Empty,
    telegram: Empty,
    trackers: Empty,
    twilio: Empty,
    unsubscribe: Empty,
    vk: Empty,
}

#[test]
fn every_old_name_is_refused_with_the_new_one() {
    for (old, new) in RENAMED {
        let loaded = Sources::new("").flag("--set", old, Some("1")).load::<Sections>();
        assert_eq!(
            loaded.expect_err(old).to_string(),
            format!("{old}: unknown key: this setting is now called {new} (from flag --set)")
        );
    }
}

#[test]
fn an_old_name_is_known_from_a_file_and_a_variable_too() {
    let variable = [(OsString::from("POSTHASTE_ORDERS__INVALID"), OsString::from("skip"))];
    let loaded = Sources::new("").environment(variable).load::<Sections>();
    assert_eq!(
        loaded.expect_err("an old name").to_string(),
        "orders.invalid: unknown key: this setting is now called orders.on_invalid \
         (from environment variable POSTHASTE_ORDERS__INVALID)"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, "[courier]\nmax_rows = 5\n").expect("a settings file");
    let refused = Sources::new("").file(&path).load::<Sections>().expect_err("an old name").to_string();
    assert!(
        refused
            .starts_with("courier.max_rows: unknown key: this setting is now called courier.max_deliveries"),
        "{refused}"
    );
}
