//! What every command receives: the terminal, the output format, and the address of the queue.

use std::time::Duration;

use posthaste_client::Client;
use posthaste_ops::config::{HumanDuration, Loaded};

use crate::failure::{Failure, Result};
use crate::global_options::GlobalOptions;
use crate::output::{Format, Output};
use crate::settings::{self, Flags, Places, Settings};
use crate::terminal::Terminal;

/// Passed to every command.
pub(crate) struct Context {
    /// Notes and questions.
    pub(crate) terminal: Terminal,
    format: Option<Format>,
    flags: Flags,
    places: Places,
}

impl Context {
    /// From the options.
    pub(crate) fn new(options: &GlobalOptions) -> Self {
        Self {
            terminal: Terminal::new(options.color, options.quiet, options.yes, options.no_input),
            format: options.output.or(options.json.then_some(Format::Json)),
            flags: Flags {
                server: options.server.clone(),
                token_file: options.token_file.clone(),
                timeout: options.timeout.clone(),
                profile: options.profile.clone(),
            },
            places: Places::of_user(),
        }
    }

    /// The requested format, if any.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Standard output in the requested format, or in this one if none was requested.
    pub(crate) fn output(&self, otherwise: Format) -> Output {
        Output::new(self.format.unwrap_or(otherwise))
    }

    /// Where settings files are.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// The settings of the command line.
    ///
    /// # Errors
    /// Usage: they are invalid.
    pub(crate) fn settings(&self) -> Result<Loaded<Settings>> {
        settings::load(&self.flags, std::env::vars_os(), &self.places)
    }

    /// A client of the queue, and the settings it was made from.
    ///
    /// # Errors
    /// Usage: the settings are invalid.
    pub(crate) fn client(&self) -> Result<(Client, settings::Client)> {
        let settings = self.settings()?.settings.client;
        let client = crate::client::new(&settings)?;
        if client.is_in_the_clear() {
            self.terminal.warn(&format!(
                "the connection to {} is not encrypted: others on the network can read the API key and all messages. \
                 Use https://.",
                client.server()
            ));
        }
        Ok((client, settings))
    }

    /// How long to wait for an order to finish; `None`, without `--timeout`, means no limit.
    ///
    /// # Errors
    /// Usage: it is not a duration.
    pub(crate) fn patience(&self) -> Result<Option<Duration>> {
        let Some(text) = &self.flags.timeout else { return Ok(None) };
        let span: HumanDuration = text
            .parse()
            .map_err(|error| Failure::usage("--timeout is not a valid duration").because(error))?;
        Ok(Some(span.get()))
    }
}
