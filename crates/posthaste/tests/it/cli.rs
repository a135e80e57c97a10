//! Runs the binary with its own folders for settings and state.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use posthaste_rig::{Child, patience};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_posthaste");

/// The key that must never be shown.
pub(crate) const KEY: &str = "ph_canary000000_CanaryCanaryCanaryCanaryCanaryCanaryCanary0";

/// A user with their own home directory.
pub(crate) struct User {
    home: TempDir,
    server: Option<String>,
    set: Vec<(String, String)>,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl User {
    /// A user of the server at this address, with a key in a file.
    pub(crate) fn of(server: &str) -> Self {
        let user = Self {
            home: tempfile::tempdir().expect("a folder"),
            server: Some(server.to_owned()),
            set: Vec::new(),
        };
        user.file("key", format!("{KEY}\n"));
        user
    }

    /// A user without any settings.
    pub(crate) fn fresh() -> Self {
        Self { home: tempfile::tempdir().expect("a folder"), server: None, set: Vec::new() }
    }

    /// The same user with this variable in the environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file in the user's home that only they can read.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("private");
        path
    }

    /// A path in the user's home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The environment of this user.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let at = |below: &str| self.path(below).display().to_string();
        let mut env =
            vec![("XDG_CONFIG_HOME".to_owned(), at("config")), ("XDG_STATE_HOME".to_owned(), at("state"))];
        if let Some(server) = &self.server {
            env.push(("POSTHASTE_CLIENT__SERVER".to_owned(), server.clone()));
            env.push(("POSTHASTE_CLIENT__TOKEN_FILE".to_owned(), at("key")));
        }
        env.extend_from_slice(&self.set);
        env
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, b"").await
    }

    /// Runs a command with this on standard input.
    pub(crate) async fn run_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = tokio::process::Command::new(BINARY)
            .args(args)
            .envs(self.env())
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that does not read its input may close it.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        let ended = tokio::time::timeout(patience(), child.wait_with_output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{args:?} does not end")).expect("ended");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let ended = Ended {
            code: ended.status.code().expect("an exit code"),
            out: text(ended.stdout),
            err: text(ended.stderr),
        };
        assert!(
            !ended.out.contains("Canary") && !ended.err.contains("Canary"),
            "the key is shown: {ended:?}"
        );
        ended
    }

    /// Starts a command, so that it can be signalled.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        Child::spawn(Path::new(BINARY), args, self.env()).expect("started")
    }
}
