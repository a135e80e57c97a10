//! Which layer wins, how text becomes a value, and which origins are reported.

use std::fs;

use posthaste_ops::config::{ByteSize, HumanDuration, Origin, SECTIONS, Sources};
use posthaste_ops::{admin, shutdown, telemetry};
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::sample::{Mode, Settings, sources, variables, with};

#[test]
fn each_layer_beats_the_one_below_and_is_reported_as_origin() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    let text = "[redis]\nurl = \"redis://file\"\n[work]\nbatch = 1\nmode = \"strict\"\nshare = 1.0\n";
    fs::write(&path, text).expect("a settings file");
    let loaded = sources()
        .file(&path)
        .environment(variables(&[("POSTHASTE_WORK__BATCH", "2"), ("POSTHASTE_WORK__SHARE", "0.25")]))
        .flag("--share", "work.share", Some(0.75))
        .flag("--limit", "work.limit", None::<u32>)
        .load::<Settings>()
        .expect("good settings");

    let settings = &loaded.settings;
    assert_eq!(settings.redis.timeout, HumanDuration::from_millis(2_000));
    assert_eq!(settings.redis.url, "redis://file");
    assert_eq!((settings.work.batch, settings.work.share), (2, 0.75));
    assert_eq!(settings.work.mode, Mode::Strict);
    assert_eq!(settings.work.limit, None);

    let origin = |key| loaded.origins.of(key).cloned();
    assert_eq!(origin("redis.timeout"), Some(Origin::Defaults));
    assert_eq!(origin("redis.url"), Some(Origin::File(path)));
    assert_eq!(origin("work.batch"), Some(Origin::Environment("POSTHASTE_WORK__BATCH".into())));
    assert_eq!(origin("work.share"), Some(Origin::Flag("--share".into())));
    assert_eq!(origin("work.limit"), None);
    assert_eq!(origin("work"), None, "a section has no origin, its settings have");
}

#[test]
fn the_later_of_two_files_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("1.toml"), folder.path().join("2.toml"));
    fs::write(&first, "[work]\nbatch = 1\nshare = 0.1\n").expect("a settings file");
    fs::write(&second, "[work]\nbatch = 2\n").expect("a settings file");
    let loaded = sources().file(&first).file(&second).load::<Settings>().expect("good settings");
    assert_eq!((loaded.settings.work.batch, loaded.settings.work.share), (2, 0.1));
}

#[test]
fn the_type_of_the_setting_decides_how_a_variable_is_parsed() {
    let loaded = with(&[
        ("POSTHASTE_REDIS__PASSWORD", "0123456"),
        ("POSTHASTE_REDIS__NODES", "a:1, b:2"),
        ("POSTHASTE_REDIS__URL", "true"),
        ("POSTHASTE_WORK__LIMIT", "7"),
        ("POSTHASTE_WORK__STEPS", "2,20, 200"),
        ("POSTHASTE_WORK__URGENT", "false"),
        ("POSTHASTE_WORK__BUFFER", "1GiB"),
        ("POSTHASTE_WORK__MODE", "strict"),
    ])
    .expect("good settings")
    .settings;
    assert_eq!(loaded.redis.password.expect("a password").expose_secret(), "0123456");
    assert_eq!(loaded.redis.nodes, ["a:1", "b:2"]);
    assert_eq!(loaded.redis.url, "true");
    assert_eq!(loaded.work.limit, Some(7));
    assert_eq!(loaded.work.steps, [2, 20, 200]);
    assert!(!loaded.work.urgent);
    assert_eq!(loaded.work.buffer, ByteSize::new(1 << 30));
    assert_eq!(loaded.work.mode, Mode::Strict);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let loaded = with(&[("POSTHASTE_REDIS__PASSWORD", ""), ("POSTHASTE_WORK__BATCH", "")]);
    let settings = loaded.expect("good settings").settings;
    assert!(settings.redis.password.is_none());
    assert_eq!(settings.work.batch, 100);
}

#[test]
fn shown_settings_mask_secrets_and_credentials_in_urls() {
    let loaded = with(&[
        ("POSTHASTE_REDIS__PASSWORD", "hunter2"),
        ("POSTHASTE_REDIS__URL", "redis://u:hunter2@h/0"),
        ("POSTHASTE_REDIS__NODES", "redis://u:hunter2@i,j"),
    ])
    .expect("good settings");
    let shown: Vec<String> =
        loaded.origins.iter().map(|entry| format!("{}={}", entry.key, entry.shown)).collect();
    assert_eq!(
        shown,
        [
            "redis.nodes=redis://***@i,j",
            "redis.password=***",
            "redis.timeout=2s",
            "redis.url=redis://***@h/0",
            "work.batch=100",
            "work.buffer=64MiB",
            "work.mode=fast",
            "work.share=0.5",
            "work.steps=1, 10",
            "work.urgent=true",
        ]
    );
    assert!(!format!("{loaded:?}").contains("hunter2\""), "a secret must not print");
}

/// The settings of this crate's own parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    log: telemetry::Settings,
    admin: admin::Settings,
    stop: shutdown::Settings,
}

#[test]
fn the_defaults_of_this_crate_fit_its_types() {
    let loaded = Sources::new("").defaults(SECTIONS).load::<Parts>().expect("our own defaults");
    assert_eq!(loaded.settings.log.filter, "info");
    assert_eq!(loaded.settings.admin.address.to_string(), "127.0.0.1:0");
    assert_eq!(loaded.settings.stop.drain_for, HumanDuration::from_millis(20_000));
    for entry in loaded.origins.iter() {
        let (_, name) = entry.key.split_once('.').expect("a section");
        let line = SECTIONS.lines().position(|line| line.starts_with(&format!("{name} ="))).expect(name);
        let above = SECTIONS.lines().nth(line - 1).expect("a line above");
        assert!(above.starts_with('#'), "{name} has no comment");
    }
}
