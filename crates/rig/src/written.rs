//! What was written, for tests that look at what a log tells, or whether it tells what it must not.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::Level;

/// What all threads told.
static ALL: OnceLock<Written> = OnceLock::new();

thread_local! {
    /// What this thread told.
    static HERE: RefCell<Option<Written>> = const { RefCell::new(None) };
}

/// Takes everything that is written to it; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// The log of the whole test program at its most talkative, of libraries that log by other means as well. One listener hears
    /// all tests of a program: of several, each with its own, one could make another miss what it came for.
    ///
    /// # Panics
    /// When the program has another listener already: a fault of the test.
    pub fn by_all() -> Self {
        let listen = || {
            let listener =
                tracing_subscriber::fmt().with_ansi(false).with_max_level(Level::TRACE).with_writer(|| Ear);
            assert!(listener.try_init().is_ok(), "the test program has another listener");
            Self::default()
        };
        ALL.get_or_init(listen).clone()
    }

    /// The log of this thread from now on: of a test whose tasks all run on it, and of no other test.
    ///
    /// # Panics
    /// As [`Written::by_all`].
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
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hears every line of the log.
struct Ear;

impl io::Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(all) = ALL.get() {
            all.clone().write_all(bytes)?;
        }
        // A thread that ends has nobody listening any more.
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
