//! Messages to the user on standard error: notes, hints, questions. Results go to standard output through
//! [`crate::output`].

use std::io::{self, BufRead, IsTerminal, Write};

use console::style;

use crate::failure::{Failure, Result};

/// When to use colours.
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

/// What the command may print and ask.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    quiet: bool,
    asks: bool,
    yes: bool,
}

impl Terminal {
    /// Sets the colours of the whole process. `quiet` silences notes and hints, `yes` answers every question with yes,
    /// `no_input` never asks.
    pub(crate) fn new(colour: Colour, quiet: bool, yes: bool, no_input: bool) -> Self {
        match colour {
            Colour::Auto => {}
            Colour::Always => set_colours(true),
            Colour::Never => set_colours(false),
        }
        let asks = !no_input && io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { quiet, asks, yes }
    }

    /// Whether a person sees the output: standard output and standard error are both terminals.
    pub(crate) fn is_watched(&self) -> bool {
        io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// Prints useful information.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// Suggests a next step.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            say(&style(text).for_stderr().dim().to_string());
        }
    }

    /// Prints a warning, also when quiet.
    pub(crate) fn warn(&self, text: &str) {
        say(&format!("{} {text}", style("!").for_stderr().yellow().bold()));
    }

    /// Asks for confirmation of something that cannot be undone.
    ///
    /// # Errors
    /// Refused: the answer is no, or there is no terminal to ask on; the failure then names the flag to use instead.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !self.asks {
            return Err(Failure::refused(format!("not confirmed: {question}"))
                .remedy("Cannot ask for confirmation here. To confirm, add --yes."));
        }
        let mut stderr = io::stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" | "д" | "да" => Ok(()),
            _ => Err(Failure::refused("not confirmed; nothing was changed")),
        }
    }
}

/// Prints the failure of a command.
pub(crate) fn tell(failure: &Failure) {
    if failure.is_closed_pipe() {
        return;
    }
    let mut lines = failure.lines().into_iter();
    let first = lines.next().unwrap_or_default();
    say(&format!("{} {first}", style("posthaste:").for_stderr().red().bold()));
    lines.for_each(|line| say(&line));
}

/// Prints one line on standard error. If nobody reads it, the command goes on.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn set_colours(on: bool) {
    console::set_colors_enabled(on);
    console::set_colors_enabled_stderr(on);
}

/// Makes text from others safe for a terminal: characters that could move the cursor or hide a line are shown as `·`.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_direction(c) { '·' } else { c }).collect()
}

/// Marks that change the direction of the text after them.
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
    fn without_a_terminal_confirm_fails_and_names_the_flag() {
        let terminal = Terminal { quiet: false, asks: false, yes: false };
        let refused = terminal.confirm("Cancel it?").expect_err("nobody said yes");
        assert!(refused.lines().join(" ").contains("--yes"));
        assert!(Terminal { yes: true, ..terminal }.confirm("Cancel it?").is_ok());
    }
}
