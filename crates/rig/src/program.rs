//! A program under test as an operator runs it: its ready file, its end on SIGTERM, the settings it refuses.
//!
//! Every function fails the test by a panic, with the end of the program's output.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::eventually::eventually;
use crate::process::{Child, Sig};

/// The exit code for invalid settings: EX_CONFIG of sysexits.h.
pub const INVALID_SETTINGS: i32 = 78;

/// A program of the workspace.
#[derive(Debug, Clone, Copy)]
pub struct ProgramUnderTest {
    path: &'static str,
}

impl ProgramUnderTest {
    /// The program at this path: `env!("CARGO_BIN_EXE_…")`.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self { path }
    }

    /// Its name as it begins its messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// Starts it with these arguments and variables.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    #[track_caller]
    pub fn start(&self, args: &[&str], variables: &[(&str, &str)]) -> Child {
        Child::spawn(self.path, args, variables.iter().copied()).expect("the program")
    }

    /// Starts it and returns the exit code and the output once it has ended by itself.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn end(&self, args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let child = self.start(args, variables);
        let code = child.wait_exit().expect("an end").code();
        (code, child.output().expect("its output"))
    }

    /// Checks that it refuses a value of a variable, although the others are `valid`: it ends with [`INVALID_SETTINGS`],
    /// names the key of the setting, and shows none of the `secrets`. Returns the output.
    ///
    /// # Panics
    /// If it does anything else.
    #[track_caller]
    pub fn refuses(
        &self,
        valid: &[(&str, &str)],
        (variable, value, key): (&str, &str, &str),
        secrets: &[&str],
    ) -> String {
        let mut variables = valid.to_vec();
        variables.retain(|(name, _)| *name != variable);
        variables.push((variable, value));
        let (code, said) = self.end(&["--admin", "127.0.0.1:0"], &variables);
        assert_eq!(code, Some(INVALID_SETTINGS), "{variable}={value}: {said}");
        assert!(said.contains(&format!("{}: {key}: ", self.name())), "{variable}={value}: {said}");
        assert_hides(&said, secrets);
        said
    }
}

/// Waits for the ready file and returns its content.
///
/// # Panics
/// If it does not appear.
#[track_caller]
pub fn wait_ready(file: &Path) -> String {
    eventually("the ready file", || fs::read_to_string(file))
}

/// Asks the program to stop by SIGTERM, checks that it ends well and has shown none of the `secrets`, and returns its output.
///
/// # Panics
/// If the exit code is not 0, or the output contains a secret.
#[track_caller]
pub fn stop(child: &Child, secrets: &[&str]) -> String {
    child.signal(Sig::Term).expect("a signal");
    assert_eq!(child.wait_exit().expect("an end").code(), Some(0), "{}", child.tail(20));
    let said = child.output().expect("its output");
    assert_hides(&said, secrets);
    said
}

#[track_caller]
fn assert_hides(said: &str, secrets: &[&str]) {
    assert!(!secrets.iter().any(|secret| said.contains(secret)), "{said}");
}

/// Writes a file that only its owner may read, as files with secrets must be.
///
/// # Panics
/// If it can't be written.
#[must_use]
#[track_caller]
pub fn secret_file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, content).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its permissions");
    file
}
