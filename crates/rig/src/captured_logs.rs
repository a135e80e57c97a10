//! Captures log output, for tests that check what a log contains or must not contain.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::Level;

/// The log of all threads.
static ALL: OnceLock<CapturedLogs> = OnceLock::new();

thread_local! {
    /// The log of this thread.
    static HERE: RefCell<Option<CapturedLogs>> = const { RefCell::new(None) };
}

/// A buffer for everything written to it; clones share it.
#[derive(Debug, Clone, Default)]
pub struct CapturedLogs(Arc<Mutex<Vec<u8>>>);

impl CapturedLogs {
    /// The log of the whole test program at its most verbose level, including libraries that log through `log`. One
    /// subscriber serves all tests of a program: with several, one test could make another miss its lines.
    ///
    /// # Panics
    /// If the program already has another subscriber: a bug in the test.
    pub fn by_all() -> Self {
        let listen = || {
            let listener = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(Level::TRACE)
                .with_writer(|| LogWriter);
            assert!(listener.try_init().is_ok(), "the test program already has another log subscriber");
            Self::default()
        };
        ALL.get_or_init(listen).clone()
    }

    /// The log of this thread from now on: for a test whose tasks all run on it, without the logs of other tests.
    ///
    /// # Panics
    /// As [`CapturedLogs::by_all`].
    pub fn by_this_thread() -> Self {
        Self::by_all();
        let log = Self::default();
        HERE.with_borrow_mut(|here| *here = Some(log.clone()));
        log
    }

    /// All of it so far.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Checks that neither the log nor `shown`, what the program returned, contains one of these secrets.
    ///
    /// # Panics
    /// If one is found, with the text before it.
    #[track_caller]
    pub fn assert_hides(&self, shown: &str, secrets: &[&str]) {
        for (name, text) in [("the log", &*self.text()), ("what was returned", shown)] {
            for secret in secrets {
                if let Some(at) = text.find(secret) {
                    let before = String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(300)..at]);
                    panic!("{name} shows a secret: {before}…");
                }
            }
        }
    }
}

impl io::Write for CapturedLogs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Receives every line of the log.
struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(all) = ALL.get() {
            all.clone().write_all(bytes)?;
        }
        // A thread that is ending captures nothing any more.
        let _ = HERE.try_with(|here| {
            let mut here = here.try_borrow_mut().ok()?;
            here.as_mut()?.write_all(bytes).ok()
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
