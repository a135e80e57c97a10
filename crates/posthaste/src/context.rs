//! What every command is given: how to talk, how to write results, where the queue is.

use std::time::Duration;

use posthaste_ops::config::{HumanDuration, Loaded};

use crate::api::Client;
use crate::args::Shared;
use crate::failure::{Failure, Result};
use crate::output::{Format, Output};
use crate::settings::{self, Flags, Places, Settings};
use crate::terminal::Terminal;

/// Given to every command.
pub(crate) struct Context {
    /// Notes and questions.
    pub(crate) terminal: Terminal,
    format: Option<Format>,
    flags: Flags,
    places: Places,
}

impl Context {
    /// As the options say.
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            terminal: Terminal::new(shared.color, shared.quiet, shared.yes, shared.no_input),
            format: shared.output.or(shared.json.then_some(Format::Json)),
            flags: Flags {
                server: shared.server.clone(),
                token_file: shared.token_file.clone(),
                timeout: shared.timeout.clone(),
                profile: shared.profile.clone(),
            },
            places: Places::of_user(),
        }
    }

    /// The format that was asked for, if one was.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Standard output, in the format asked for or else in this one.
    pub(crate) fn output(&self, otherwise: Format) -> Output {
        Output::new(self.format.unwrap_or(otherwise))
    }

    /// Where files are looked for.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// The settings of the command line.
    ///
    /// # Errors
    /// Usage: they cannot be used.
    pub(crate) fn settings(&self) -> Result<Loaded<Settings>> {
        settings::load(&self.flags, std::env::vars_os(), &self.places)
    }

    /// A client of the queue, and the settings it was made from.
    ///
    /// # Errors
    /// Usage: the settings cannot be used.
    pub(crate) fn client(&self) -> Result<(Client, settings::Client)> {
        let settings = self.settings()?.settings.client;
        let client = Client::new(&settings)?;
        if client.is_in_the_clear() {
            self.terminal.warn(&format!(
                "{} is another computer, and http:// is not encrypted: the key and all messages can be read on the way. Use https://.",
                client.base()
            ));
        }
        Ok((client, settings))
    }

    /// How long to wait for the end of an order; without end unless `--timeout` says.
    ///
    /// # Errors
    /// Usage: it is no span of time.
    pub(crate) fn patience(&self) -> Result<Option<Duration>> {
        let Some(text) = &self.flags.timeout else { return Ok(None) };
        let span: HumanDuration =
            text.parse().map_err(|error| Failure::usage("--timeout is no span of time").because(error))?;
        Ok(Some(span.get()))
    }
}
