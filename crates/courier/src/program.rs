//! The courier of a channel as its crate exports it: what the binary, `config`, `doctor` and `dev` need to run it, to read
//! its settings and to check them. What the channel is, is data in `posthaste_model::channels`.

use std::fmt;
use std::pin::Pin;

use clap::{ArgMatches, Command, FromArgMatches};
use posthaste_model::ChannelDescriptor;
use posthaste_ops::config::{ConfigError, Origins};
use posthaste_ops::exit::ExitFailure;

use crate::process::{Args, Process};
use crate::transport::Checked;

/// A running courier, or a running check.
pub type Running<T> = Pin<Box<dyn Future<Output = Result<T, ExitFailure>>>>;

/// The program of a channel's courier.
pub struct CourierProgram {
    /// The channel.
    pub channel: &'static ChannelDescriptor,
    /// The name and settings of the process.
    pub process: Process,
    /// What [`CourierProgram::check`] checks beside the settings, in a few words.
    pub checks: &'static str,
    /// Settings under `posthaste dev` in TOML: the courier's sections, and that of its fake provider as `[sandbox.…]`.
    /// `{provider}` stands for the address of the fake provider, `{listen}` for a free address to listen on, `{secret}`
    /// for a random word that both know.
    pub dev_settings: &'static str,
    /// Adds the command-line arguments of the process.
    pub arguments: fn(Command) -> Command,
    /// Runs the courier with these arguments until it is asked to stop.
    pub run: fn(&ArgMatches) -> Running<()>,
    /// Checks whether a courier with the settings of these arguments could work. Sends nothing.
    pub check: fn(Args) -> Running<Checked>,
    /// Reads all settings as the courier would, and returns where each came from.
    pub origins: fn(&Args) -> Result<Origins, ConfigError>,
}

impl CourierProgram {
    /// The name of the process in logs and messages, such as `courier-email`.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.process.name.strip_prefix("posthaste-").unwrap_or(self.process.name)
    }
}

impl fmt::Debug for CourierProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CourierProgram").field(&self.channel.name).finish()
    }
}

/// Parses a channel's own arguments and starts its process: the usual [`CourierProgram::run`].
pub fn start<A, F>(matches: &ArgMatches, run: impl FnOnce(A) -> F + 'static) -> Running<()>
where
    A: FromArgMatches + 'static,
    F: Future<Output = Result<(), ExitFailure>> + 'static,
{
    let args = A::from_arg_matches(matches);
    Box::pin(async move { run(args.map_err(ExitFailure::usage)?).await })
}
