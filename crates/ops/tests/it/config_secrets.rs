//! Secrets from files; and that no message repeats one.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use posthaste_ops::config::{ConfigError, Origin, Sources};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::sample::{Settings, chain, sources, variables, with};

const VARIABLE: &str = "POSTHASTE_REDIS__PASSWORD";
const BY_FILE: &str = "POSTHASTE_REDIS__PASSWORD_FILE";

fn secret_file(content: &[u8], mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("password");
    fs::write(&path, content).expect("a secret file");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the mode");
    (folder, path)
}

fn load_by_file(content: &[u8], mode: u32) -> Result<String, ConfigError> {
    let (_folder, path) = secret_file(content, mode);
    let loaded = with(&[(BY_FILE, path.to_str().expect("a plain path"))])?;
    let origin = Origin::SecretFile { path, named_by: Box::new(Origin::Environment(BY_FILE.into())) };
    assert_eq!(loaded.origins.of("redis.password"), Some(&origin));
    assert_eq!(loaded.origins.of("redis.password_file"), None);
    Ok(loaded.settings.redis.password.expect("a password").expose_secret().to_owned())
}

#[test]
fn a_secret_is_read_from_its_file_without_one_line_end() {
    for (content, secret) in [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("hunter2\n\n", "hunter2\n"),
        (" hunter2 \n", " hunter2 "),
        ("12345\n", "12345"),
    ] {
        assert_eq!(load_by_file(content.as_bytes(), 0o640).expect(content), secret);
    }
}

#[test]
fn a_file_that_everyone_may_read_is_refused_by_name() {
    for mode in [0o604, 0o644, 0o602] {
        let (_folder, path) = secret_file(b"hunter2\n", mode);
        let refused = with(&[(BY_FILE, path.to_str().expect("a plain path"))]).expect_err("an open secret");
        let text = chain(&refused);
        let expected =
            format!("redis.password: secret file {} can be read or written by everyone", path.display());
        assert!(text.starts_with(&expected) && text.contains(BY_FILE), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// The owner is the user that runs the test: only as root may everyone read the file.
#[test]
fn a_folder_named_by_a_setting_may_hold_readable_files_of_root() {
    use std::os::unix::fs::MetadataExt;

    for (mode, at_root) in [(0o444, true), (0o644, true), (0o646, false)] {
        let (folder, path) = secret_file(b"hunter2\n", mode);
        let is_root = path.metadata().expect("its owner").uid() == 0;
        let named = [
            (BY_FILE, path.to_str().expect("a plain path")),
            ("POSTHASTE_SECRETS__FOLDER", folder.path().to_str().expect("a plain path")),
        ];
        assert_eq!(with(&named).is_ok(), is_root && at_root, "{mode:o}");
    }
    for (name, value) in [("POSTHASTE_SECRETS__FOLDER", "secrets"), ("POSTHASTE_SECRETS__FOLDERS", "/run")] {
        let refused = with(&[(name, value)]).expect_err(name).to_string();
        assert!(refused.starts_with("secrets.folder") && refused.contains(name), "{refused}");
    }
}

#[test]
fn a_file_that_can_not_hold_a_secret_is_refused() {
    for (content, why) in [
        (b"".as_slice(), "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "cannot be read as text"),
        (&[b'x'; 70_000], "is larger than 64 KiB"),
    ] {
        let text = load_by_file(content, 0o600).expect_err(why).to_string();
        assert!(text.contains(why), "{text}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let refused = with(&[(BY_FILE, folder.path().to_str().expect("a plain path"))]).expect_err("a folder");
    assert!(refused.to_string().contains("is not a plain file"), "{refused}");
    let refused = with(&[(BY_FILE, "/nonexistent/password")]).expect_err("no file");
    assert!(chain(&refused).contains("cannot be read"), "{refused}");
}

#[test]
fn a_settings_file_may_name_the_file_and_a_variable_beats_it() {
    let (folder, path) = secret_file(b"from the file\n", 0o600);
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, format!("[redis]\npassword_file = {path:?}\n")).expect("a settings file");
    let loaded = sources().file(&settings).load::<Settings>().expect("good settings");
    assert_eq!(loaded.settings.redis.password.expect("a password").expose_secret(), "from the file");

    fs::remove_file(&path).expect("the secret goes away");
    let from_variable = sources().file(&settings).environment(variables(&[(VARIABLE, "from a variable")]));
    let loaded = from_variable.load::<Settings>().expect("a file that is not used is not read");
    assert_eq!(loaded.settings.redis.password.expect("a password").expose_secret(), "from a variable");
}

#[test]
fn a_secret_given_twice_in_one_place_is_refused() {
    let (_folder, path) = secret_file(b"hunter2\n", 0o600);
    let path = path.to_str().expect("a plain path");
    let refused = with(&[(VARIABLE, "hunter2"), (BY_FILE, path)]).expect_err("two passwords").to_string();
    assert_eq!(
        refused,
        format!(
            "redis.password: given both by environment variable {VARIABLE} and by environment variable {BY_FILE}; \
             keep one"
        )
    );
}

#[test]
fn only_secrets_are_read_from_files() {
    let refused = with(&[("POSTHASTE_REDIS__URL_FILE", "/etc/hostname")]).expect_err("no secret").to_string();
    assert!(refused.starts_with("redis.url_file: unknown key"), "{refused}");
}

#[test]
fn a_secret_of_the_wrong_type_is_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    for text in ["[redis]\npassword = 424242\n", "[redis]\npassword = [\"424242\"]\n"] {
        fs::write(&path, text).expect("a settings file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the mode");
        let refused = chain(&sources().file(&path).load::<Settings>().expect_err(text));
        assert!(refused.starts_with("redis.password: expected a string"), "{refused}");
        assert!(!refused.contains("424242"), "{refused}");
    }
}

#[test]
fn a_secret_that_its_own_type_refuses_is_not_repeated() {
    #[derive(Debug, serde::Deserialize)]
    struct Keys {
        #[expect(dead_code, reason = "the settings are refused")]
        pin: Pin,
    }
    #[derive(Debug, serde::Deserialize)]
    #[serde(try_from = "String")]
    struct Pin;
    impl TryFrom<String> for Pin {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            Err(format!("{text} is no key"))
        }
    }
    #[derive(Debug, serde::Deserialize)]
    struct Sections {
        #[expect(dead_code, reason = "the settings are refused")]
        keys: Keys,
    }
    let given = variables(&[("POSTHASTE_KEYS__PIN", "hunter2")]);
    let sources = posthaste_ops::config::Sources::new("").secrets(&["keys.pin"]).environment(given);
    let refused = chain(&sources.load::<Sections>().expect_err("no key"));
    assert!(
        refused.starts_with("keys.pin: not valid") && refused.contains("POSTHASTE_KEYS__PIN"),
        "{refused}"
    );
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn a_settings_file_that_everyone_may_read_must_hold_no_secret() {
    let load = |text: &str, mode: u32| {
        let (_folder, path) = secret_file(text.as_bytes(), mode);
        sources().file(&path).load::<Settings>().map(|_| ())
    };
    let inline = "[redis]\npassword = \"hunter2\"\n";
    for mode in [0o644, 0o604, 0o602, 0o666] {
        let refused = load(inline, mode).expect_err("an open secret");
        let text = chain(&refused);
        assert!(text.starts_with("redis.password: settings file ") && text.contains("chmod o-rw"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    for (text, mode) in [
        (inline, 0o600),
        (inline, 0o640),
        ("[redis]\npassword = \"\"\n", 0o644),
        ("[redis]\ntimeout = \"3s\"\n", 0o644),
    ] {
        load(text, mode).expect(text);
    }
}

#[derive(Debug, serde::Deserialize)]
struct Accounts {
    accounts: Users,
}

#[derive(Debug, serde::Deserialize)]
struct Users {
    word: SecretString,
    users: BTreeMap<String, SecretString>,
    tokens: Vec<SecretString>,
}

/// Settings with a table, a list and a default that are secrets.
fn accounts() -> Sources {
    let defaults = "[accounts]\nword = \"sample\"\nusers = {}\ntokens = []\n";
    Sources::new(defaults).secrets(&["accounts.word", "accounts.users", "accounts.tokens"])
}

#[test]
fn all_values_of_a_secret_table_or_list_are_secret() {
    let (_folder, tokens) = secret_file(b"canary-one,canary-two\n", 0o600);
    let given = variables(&[
        ("POSTHASTE_ACCOUNTS__USERS__ANN", "canary"),
        ("POSTHASTE_ACCOUNTS__TOKENS_FILE", tokens.to_str().expect("a plain path")),
    ]);
    let loaded = accounts().environment(given).load::<Accounts>().expect("good settings");
    let Users { word, users, tokens } = loaded.settings.accounts;
    assert_eq!((word.expose_secret(), users["ann"].expose_secret()), ("sample", "canary"));
    assert_eq!(
        tokens.iter().map(|token| token.expose_secret()).collect::<Vec<_>>(),
        ["canary-one", "canary-two"]
    );
    let shown = format!("{:?}", loaded.origins);
    assert!(loaded.origins.of("accounts.users.ann").is_some() && !shown.contains("canary"), "{shown}");

    #[derive(Debug, serde::Deserialize)]
    struct Numbers {
        #[expect(dead_code, reason = "the settings are refused")]
        accounts: Pins,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Pins {
        #[expect(dead_code, reason = "the settings are refused")]
        users: BTreeMap<String, std::net::IpAddr>,
    }
    let given = variables(&[("POSTHASTE_ACCOUNTS__USERS__ANN", "canary")]);
    let sources = Sources::new("").secrets(&["accounts.users"]).environment(given);
    let refused = chain(&sources.load::<Numbers>().expect_err("no address"));
    assert!(refused.starts_with("accounts.users.ann: ") && !refused.contains("canary"), "{refused}");
}

#[test]
fn a_default_is_no_secret_and_what_a_table_holds_is_one() {
    let load = |text: &str| {
        let (_folder, path) = secret_file(text.as_bytes(), 0o644);
        accounts().file(&path).load::<Accounts>().map(|_| ())
    };
    load("[accounts]\nword = \"sample\"\nusers = {}\ntokens = []\n").expect("the defaults");
    for (text, key) in [
        ("[accounts]\nword = \"hunter2\"\n", "accounts.word"),
        ("[accounts.users]\nann = \"hunter2\"\n", "accounts.users"),
        ("[accounts]\ntokens = [\"hunter2\"]\n", "accounts.tokens"),
    ] {
        let refused = chain(&load(text).expect_err("an open secret"));
        assert!(refused.starts_with(&format!("{key}: settings file ")), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
