//! Talk with whoever started the command, on standard error: notes, hints, questions. What a command is asked for goes
//! to standard output and is [`crate::output`]'s.

use std::io::{self, BufRead, IsTerminal, Write};

use console::style;

use crate::failure::{Failure, Result};

/// When to write colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the command may say and ask.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    quiet: bool,
    asks: bool,
    yes: bool,
}

impl Terminal {
    /// Sets the colours of the whole process; `quiet` silences notes, `yes` answers every question with yes,
    /// `no_input` asks none.
    pub(crate) fn new(colour: Colour, quiet: bool, yes: bool, no_input: bool) -> Self {
        match colour {
            Colour::Auto => {}
            Colour::Always => set_colours(true),
            Colour::Never => set_colours(false),
        }
        let asks = !no_input && io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { quiet, asks, yes }
    }

    /// Whether people look at what a command prints: both streams are terminals.
    pub(crate) fn is_watched(&self) -> bool {
        io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// Says something that is good to know.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// Says what the next step may be.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            say(&style(text).for_stderr().dim().to_string());
        }
    }

    /// Says what needs attention, also when quiet.
    pub(crate) fn warn(&self, text: &str) {
        say(&format!("{} {text}", style("!").for_stderr().yellow().bold()));
    }

    /// Asks before something that cannot be taken back.
    ///
    /// # Errors
    /// Refused, when the answer is no or when nobody can be asked; then the flag that answers is named.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !self.asks {
            return Err(Failure::refused(format!("not confirmed: {question}"))
                .mend("Nobody can be asked here; --yes says yes."));
        }
        let mut stderr = io::stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" | "д" | "да" => Ok(()),
            _ => Err(Failure::refused("not confirmed; nothing was done")),
        }
    }
}

/// Writes the failure a command ended with.
pub(crate) fn tell(failure: &Failure) {
    if failure.is_closed_pipe() {
        return;
    }
    let mut lines = failure.lines().into_iter();
    let first = lines.next().unwrap_or_default();
    say(&format!("{} {first}", style("posthaste:").for_stderr().red().bold()));
    lines.for_each(|line| say(&line));
}

/// One line on standard error. Nobody reading it is no reason to end.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn set_colours(on: bool) {
    console::set_colors_enabled(on);
    console::set_colors_enabled_stderr(on);
}

/// Text of others for a terminal: what could move the cursor or hide a line is shown as `·`.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_direction(c) { '·' } else { c }).collect()
}

/// Marks that reverse the direction of what follows.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{202e}d"), "a·[2Jb··c·d");
        assert_eq!(plain("Анна — ✔"), "Анна — ✔");
    }

    #[test]
    fn nobody_to_ask_is_a_refusal_that_names_the_flag() {
        let terminal = Terminal { quiet: false, asks: false, yes: false };
        let refused = terminal.confirm("Cancel it?").expect_err("nobody said yes");
        assert!(refused.lines().join(" ").contains("--yes"));
        assert!(Terminal { yes: true, ..terminal }.confirm("Cancel it?").is_ok());
    }
}
