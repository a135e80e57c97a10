//! A script: its text, its first line, its digest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha1::{Digest, Sha1};
use thiserror::Error;

use super::engine::{self, ScriptRun, ScriptRunError};
use crate::FakeRedis;

/// Why a text is not a valid script. The server reports the same at `SCRIPT LOAD` or `EVAL`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// `#!` without an end of the line.
    #[error("the first line of the script does not end")]
    OpenFirstLine,
    /// `#!` names an engine other than `lua`.
    #[error("the script names an unknown engine: {0}")]
    Engine(String),
    /// A flag that the server does not know.
    #[error("the script has an unknown flag: {0}")]
    Flag(String),
    /// An option other than `flags=…` on the first line.
    #[error("the first line of the script has an unknown option: {0}")]
    Option(String),
    /// Lua cannot compile the text; with its message.
    #[error("the script does not compile: {0}")]
    Syntax(String),
    /// No Lua state could be created.
    #[error(transparent)]
    Run(#[from] ScriptRunError),
}

/// How the server treats a script, according to its first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// There is a first line: the script is admitted or refused as a whole.
    pub(crate) declared: bool,
    /// Writes are refused.
    pub(crate) no_writes: bool,
    /// Runs with memory full.
    pub(crate) allow_oom: bool,
}

/// A script that can be run on any thread. Cloning is cheap and keeps the compiled form.
#[derive(Clone, Debug)]
pub struct ScriptProgram {
    inner: Arc<Inner>,
    one_slot: bool,
}

#[derive(Debug)]
struct Inner {
    /// Identifies the compiled form in each thread's cache: every parsed text gets its own number.
    serial: u64,
    /// The text from the end of the `#!` line on, so that line numbers stay right.
    body: String,
    sha1: String,
    flags: Flags,
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

impl ScriptProgram {
    /// Parses the first line (`#!lua flags=…`, if any) and compiles the text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn new(text: &str) -> Result<Self, ScriptError> {
        let (flags, body) = first_line(text)?;
        let inner = Inner {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            body: body.to_owned(),
            sha1: sha1_hex(text.as_bytes()),
            flags,
        };
        let script = Self { inner: Arc::new(inner), one_slot: false };
        engine::compile(&script)?;
        Ok(script)
    }

    /// The same script, restricted to one slot of a cluster: a run fails with [`ScriptRunError::OtherSlot`] when it
    /// touches a key without the hash tag of `KEYS[1]`.
    #[must_use]
    pub fn in_one_slot(mut self) -> Self {
        self.one_slot = true;
        self
    }

    /// The digest by which the server knows the text: 40 hexadecimal digits.
    #[must_use]
    pub fn sha1(&self) -> &str {
        &self.inner.sha1
    }

    /// Runs the script once. The world's clock is frozen during the run.
    ///
    /// Changes made before an error stay, as on a server.
    ///
    /// # Errors
    /// Only for what no server would answer: a limit was exceeded, or the script uses what this model does not
    /// support. Refusals by a command or by the script itself are replies ([`crate::Value::Error`]).
    pub fn run<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &self,
        world: &mut FakeRedis,
        keys: &[K],
        args: &[A],
    ) -> Result<ScriptRun, ScriptRunError> {
        engine::run(self, world, keys, args)
    }

    pub(super) fn serial(&self) -> u64 {
        self.inner.serial
    }

    pub(super) fn body(&self) -> &str {
        &self.inner.body
    }

    pub(super) fn flags(&self) -> Flags {
        self.inner.flags
    }

    pub(super) fn is_held_to_one_slot(&self) -> bool {
        self.one_slot
    }
}

/// The SHA-1 digest of some bytes as 40 hexadecimal digits.
pub(super) fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes the `#!` line from a text and parses it.
fn first_line(text: &str) -> Result<(Flags, &str), ScriptError> {
    let mut flags = Flags::default();
    if !text.starts_with("#!") {
        return Ok((flags, text));
    }
    let (line, body) = text.split_at(text.find('\n').ok_or(ScriptError::OpenFirstLine)?);
    flags.declared = true;
    let mut words = line.split_ascii_whitespace();
    match words.next() {
        Some("#!lua") => {}
        other => return Err(ScriptError::Engine(other.unwrap_or_default().to_owned())),
    }
    for word in words {
        let list = word.strip_prefix("flags=").ok_or_else(|| ScriptError::Option(word.to_owned()))?;
        for flag in list.split(',').filter(|flag| !flag.is_empty()) {
            match flag {
                "no-writes" => flags.no_writes = true,
                "allow-oom" => flags.allow_oom = true,
                "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                other => return Err(ScriptError::Flag(other.to_owned())),
            }
        }
    }
    Ok((flags, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_read() {
        assert_eq!(first_line("return 1"), Ok((Flags::default(), "return 1")));
        let declared = Flags { declared: true, ..Flags::default() };
        assert_eq!(first_line("#!lua\nreturn 1"), Ok((declared, "\nreturn 1")));
        assert_eq!(
            first_line("#!lua flags=allow-oom,no-writes\nx"),
            Ok((Flags { declared: true, no_writes: true, allow_oom: true }, "\nx"))
        );
        assert_eq!(first_line("#!lua"), Err(ScriptError::OpenFirstLine));
        assert_eq!(first_line("#!js\n"), Err(ScriptError::Engine("#!js".to_owned())));
        assert_eq!(first_line("#!lua name=x\n"), Err(ScriptError::Option("name=x".to_owned())));
        assert_eq!(first_line("#!lua flags=fast\n"), Err(ScriptError::Flag("fast".to_owned())));
    }

    #[test]
    fn the_digest_is_of_the_whole_text() {
        let script = ScriptProgram::new("return 1").expect("a script");
        assert_eq!(script.sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn a_text_that_lua_refuses_is_refused() {
        assert!(matches!(ScriptProgram::new("return return"), Err(ScriptError::Syntax(_))));
    }
}
