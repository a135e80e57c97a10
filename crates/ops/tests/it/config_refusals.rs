//! Refused settings, and that the message says what is wrong, where it came from and what is expected.

use std::fs;

use posthaste_ops::config::ConfigError;

use crate::sample::{Settings, chain, sources, variables, with};

fn refused_variable(name: &str, value: &str) -> String {
    with(&[(name, value)]).expect_err(name).to_string()
}

fn refused_file(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    fs::write(&path, text).expect("a settings file");
    let error = sources().file(&path).load::<Settings>().expect_err(text);
    error.to_string().replace(&path.display().to_string(), "FILE")
}

#[test]
fn an_unknown_key_is_refused_from_every_place() {
    let from_variable = refused_variable("POSTHASTE_REDIS__TIEMOUT", "3s");
    assert_eq!(
        from_variable,
        "redis.tiemout: unknown key; known here: url, timeout, nodes, password \
         (from environment variable POSTHASTE_REDIS__TIEMOUT)"
    );
    let known = "known here: batch, share, urgent, buffer, mode, limit, steps";
    // The type of `work` does not forbid unknown keys by itself.
    assert_eq!(
        refused_file("[work]\nbacth = 3\n"),
        format!("work.bacth: unknown key; {known} (from file FILE)")
    );
    let from_flag = sources().flag("--bulk", "work.bulk", Some(true)).load::<Settings>().expect_err("bulk");
    assert_eq!(from_flag.to_string(), format!("work.bulk: unknown key; {known} (from flag --bulk)"));
    assert_eq!(
        refused_file("[wrok]\nbatch = 3\n"),
        "wrok: unknown key; known here: redis, work (from file FILE)"
    );
}

#[test]
fn whole_sections_of_other_processes_are_ignored() {
    let loaded = with(&[("POSTHASTE_SMTP__RELAYS", "a"), ("POSTHASTE_HTTP__LISTEN", "b")]);
    loaded.expect("sections of other processes");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    fs::write(&path, "[dkim]\nkey = 3\n[work]\nbatch = 7\n").expect("a settings file");
    let loaded = sources().file(&path).load::<Settings>().expect("a section of another process");
    assert_eq!(loaded.settings.work.batch, 7);
    assert!(refused_file("[smpt]\nrelays = []\n").starts_with("smpt: unknown key"));
    assert!(refused_file("[work.smtp]\nrelays = []\n").starts_with("work.smtp: unknown key"));
}

#[test]
fn a_wrong_unit_is_refused_with_the_units() {
    let units = "write a whole number and a unit (ms, s, m, h, d), for example \"10s\"";
    assert_eq!(
        refused_variable("POSTHASTE_REDIS__TIMEOUT", "10"),
        format!(
            "redis.timeout: \"10\" has no unit; {units} (from environment variable POSTHASTE_REDIS__TIMEOUT)"
        )
    );
    assert_eq!(
        refused_file("[redis]\ntimeout = 10\n"),
        format!("redis.timeout: \"10\" has no unit; {units} (from file FILE)")
    );
    let size = refused_file("[work]\nbuffer = \"64MB\"\n");
    assert!(size.starts_with("work.buffer: \"64MB\" has an unknown unit; "), "{size}");
}

#[test]
fn a_wrong_type_or_choice_is_refused() {
    for (text, expected) in [
        ("[work]\nbatch = \"100\"\n", "work.batch: expected u16, found text (from file FILE)"),
        ("[work]\nurgent = \"yes\"\n", "work.urgent: expected a boolean, found text (from file FILE)"),
        ("[work]\nbatch = 70000\n", "work.batch: expected u16, found integer `70000` (from file FILE)"),
        ("[work]\nbatch = -1\n", "work.batch: expected u16, found integer `-1` (from file FILE)"),
        ("[redis]\nurl = 5\n", "redis.url: expected a string, found a whole number (from file FILE)"),
        (
            "[redis]\nnodes = [\"a\", 1]\n",
            "redis.nodes.1: expected a string, found a whole number (from file FILE)",
        ),
        ("redis = 1\n", "redis: expected struct Redis, found a whole number (from file FILE)"),
        (
            "[work]\nmode = \"slow\"\n",
            "work.mode: unknown value \"slow\"; allowed here: fast, strict (from file FILE)",
        ),
    ] {
        assert_eq!(refused_file(text), expected);
    }
    assert_eq!(
        refused_variable("POSTHASTE_WORK__BATCH", "many"),
        "work.batch: expected u16, found text (from environment variable POSTHASTE_WORK__BATCH)"
    );
    assert_eq!(
        refused_variable("POSTHASTE_WORK__STEPS", "1,x"),
        "work.steps.1: expected u16, found text (from environment variable POSTHASTE_WORK__STEPS)"
    );
    assert_eq!(
        refused_variable("POSTHASTE_WORK__URGENT", "yes"),
        "work.urgent: expected a boolean, found text (from environment variable POSTHASTE_WORK__URGENT)"
    );
}

#[test]
fn a_missing_setting_is_named_with_its_variable() {
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[expect(dead_code, reason = "only its absence matters")]
        redis: WantedRedis,
    }
    #[derive(Debug, serde::Deserialize)]
    struct WantedRedis {
        #[expect(dead_code, reason = "only its absence matters")]
        password: String,
    }
    let sources = posthaste_ops::config::Sources::new("[redis]\n");
    assert_eq!(
        sources.load::<Wanted>().expect_err("no password").to_string(),
        "redis.password: missing; set it in the settings file or as environment variable POSTHASTE_REDIS__PASSWORD"
    );
    let sources = posthaste_ops::config::Sources::new("[redis]\n").secrets(&["redis.password"]);
    let refused = sources.load::<Wanted>().expect_err("no password").to_string();
    assert!(
        refused.ends_with("POSTHASTE_REDIS__PASSWORD, or its file as POSTHASTE_REDIS__PASSWORD_FILE"),
        "{refused}"
    );
}

#[test]
fn bad_toml_is_reported_by_line_without_repeating_it() {
    let refused = refused_file("[redis]\n# a comment\npassword = hunter2\n");
    assert!(refused.starts_with("file FILE, line 3, column 12: "), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn a_missing_file_is_refused() {
    let error = sources().file("/nonexistent/settings.toml").load::<Settings>().expect_err("no file");
    assert!(matches!(error, ConfigError::File { .. }));
    let text = chain(&error);
    assert!(text.starts_with("cannot read settings file /nonexistent/settings.toml: No such file"), "{text}");
}

#[test]
fn a_caller_refuses_a_setting_with_its_origin() {
    let loaded = sources().environment(variables(&[("POSTHASTE_WORK__BATCH", "0")])).load::<Settings>();
    let error = loaded.expect("good types").origins.refuse("work.batch", "must be at least 1");
    assert_eq!(
        error.to_string(),
        "work.batch: must be at least 1 (from environment variable POSTHASTE_WORK__BATCH)"
    );
}

/// The TOML parser itself stops at 80 levels, in values and in keys.
#[test]
fn deeply_nested_settings_are_refused() {
    for levels in [2 * 80, 20_000] {
        for text in [
            format!("a = {}{}", "[".repeat(levels), "]".repeat(levels)),
            format!("a = {}1{}", "{a=".repeat(levels), "}".repeat(levels)),
            format!("{}a = 1", "a.".repeat(levels)),
            format!("[{}a]", "a.".repeat(levels)),
            format!("[[{}a]]", "a.".repeat(levels)),
        ] {
            let reported = refused_file(&text);
            assert!(
                reported.contains("recurs") && reported.len() < 1_000,
                "{}",
                &reported[..reported.len().min(200)]
            );
        }
    }
}

#[test]
fn a_zero_duration_is_refused_unless_zero_has_a_meaning() {
    let refused = with(&[("POSTHASTE_REDIS__TIMEOUT", "0s")]).expect_err("zero");
    assert_eq!(
        refused.to_string(),
        "redis.timeout: must be longer than 0 (from environment variable POSTHASTE_REDIS__TIMEOUT)"
    );
    assert!(with(&[("POSTHASTE_REDIS__TIMEOUT", "0 ms")]).is_err());
    assert!(with(&[("POSTHASTE_REDIS__TIMEOUT", "1ms")]).is_ok());
    assert!(with(&[("POSTHASTE_REDIS__URL", "0s")]).is_ok(), "a text is not a duration");
}
