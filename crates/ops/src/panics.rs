//! Logging of panics: the place, and the text only if it is fixed in the source.
//!
//! The text of a panic with values (`panic!("{row:?}")`, `expect` on an error) may repeat an address or a message, so only a
//! text fixed at compile time is logged.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

const WITHHELD: &str = "(text withheld: it may contain user data)";

/// Replaces the process's panic hook: a panic becomes one log event of level error, or one plain line on standard error if
/// logging is not set up yet.
pub fn install() {
    panic::set_hook(Box::new(tell));
}

fn tell(info: &PanicHookInfo<'_>) {
    let text = text(info.payload());
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    if !tracing::dispatcher::has_been_set() {
        // A failure to write can't be reported.
        let _ = writeln!(io::stderr(), "panicked at {location}: {text}");
        return;
    }
    // Captured only if RUST_BACKTRACE requests it; contains function names, no values.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(event = "process.panicked", location, text, backtrace, "panicked");
}

fn text(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or(WITHHELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fixed_text_is_logged() {
        let fixed: Box<dyn Any + Send> = Box::new("the table of channels is empty");
        assert_eq!(text(&*fixed), "the table of channels is empty");
        let made: Box<dyn Any + Send> = Box::new("bad row for a@b.c".to_owned());
        assert_eq!(text(&*made), WITHHELD);
        let other: Box<dyn Any + Send> = Box::new(42);
        assert_eq!(text(&*other), WITHHELD);
    }
}
