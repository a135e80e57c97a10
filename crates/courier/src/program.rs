//! The courier of a channel as its crate exports it: what the binary, `config`, `doctor` and `dev` need to run it, to read
//! its settings and to check them. What the channel is, is data in `posthaste_model::channels`. A channel implements
//! [`CourierArgs`] for its command-line arguments; its `main` is then one line:
//!
//! ```no_run
//! # use posthaste_courier::{Capabilities, Envelope, Outcome, Transport};
//! # use posthaste_courier::process::{self, Process};
//! # use posthaste_courier::program::{CourierArgs, NewTransport};
//! # use posthaste_model::Channel;
//! # pub struct Pigeons;
//! # #[async_trait::async_trait]
//! # impl Transport for Pigeons {
//! #     fn channel(&self) -> Channel { unimplemented!() }
//! #     fn capabilities(&self) -> Capabilities { unimplemented!() }
//! #     async fn send(&self, _: &[Envelope], _: tokio::time::Instant) -> Vec<Outcome> { Vec::new() }
//! # }
//! # #[derive(clap::Args)]
//! # pub struct Args { #[command(flatten)] process: process::Args }
//! # impl CourierArgs for Args {
//! #     type Settings = ();
//! #     type Transport = Pigeons;
//! #     const PROCESS: Process = Process { name: "posthaste-courier-pigeon", defaults: "", secrets: &[] };
//! #     const TRANSPORT: NewTransport<(), Pigeons> = |(), _, _| Ok(Pigeons);
//! #     fn process(&self) -> &process::Args { &self.process }
//! # }
//! fn main() -> std::process::ExitCode {
//!     posthaste_courier::program::main::<Args>()
//! }
//! ```

use std::fmt;
use std::pin::Pin;
use std::process::ExitCode;

use clap::{ArgMatches, Command, Parser};
use posthaste_model::{Channel, ChannelDescriptor};
use posthaste_ops::config::{ConfigError, Origins, Sources};
use posthaste_ops::exit::{self, Exit, ExitFailure};
use serde::de::DeserializeOwned;

use crate::process::{Args, Process, Section};
use crate::start_error::TransportStartError;
use crate::transport::{Checked, Transport};

/// A running courier, or a running check.
pub type Running<T> = Pin<Box<dyn Future<Output = Result<T, ExitFailure>>>>;

/// Makes a channel's transport `T` of the channel's own settings and of those of every courier. Opens nothing.
pub type NewTransport<S, T> = fn(S, &Section, Channel) -> Result<T, TransportStartError>;

/// The command-line arguments of a channel's courier, and with them all that is its own about the process.
pub trait CourierArgs: clap::Args + 'static {
    /// The channel's own sections of the settings.
    type Settings: DeserializeOwned;
    /// Its transport.
    type Transport: Transport;

    /// The name and settings of the process.
    const PROCESS: Process;
    /// How the transport is made.
    const TRANSPORT: NewTransport<Self::Settings, Self::Transport>;

    /// The arguments of every courier.
    fn process(&self) -> &Args;

    /// Adds the channel's own arguments to the sources of settings.
    fn flags(&self, sources: Sources) -> Sources {
        sources
    }
}

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
    /// The program of the courier with these arguments. `checks` and `dev_settings`: see the fields.
    #[must_use]
    pub const fn new<A: CourierArgs>(
        channel: &'static ChannelDescriptor,
        checks: &'static str,
        dev_settings: &'static str,
    ) -> Self {
        Self {
            channel,
            process: A::PROCESS,
            checks,
            dev_settings,
            arguments: A::augment_args,
            run: start::<A>,
            check: check::<A>,
            origins: origins::<A>,
        }
    }

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

/// The command line: the arguments and --version.
#[derive(Parser)]
#[command(version)]
struct CommandLine<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

/// The `main` of a channel: parses the command line and runs until the end.
pub fn main<A: CourierArgs>() -> ExitCode {
    let command = CommandLine::<A>::parse();
    exit::run(A::PROCESS.name, || async { run(command.args).await.map(|()| Exit::Done) })
}

async fn run<A: CourierArgs>(args: A) -> Result<(), ExitFailure> {
    A::PROCESS.run(args.process(), &|sources| args.flags(sources), A::TRANSPORT).await
}

fn start<A: CourierArgs>(matches: &ArgMatches) -> Running<()> {
    let args = A::from_arg_matches(matches);
    Box::pin(async move { run(args.map_err(ExitFailure::usage)?).await })
}

fn check<A: CourierArgs>(args: Args) -> Running<Checked> {
    Box::pin(async move { A::PROCESS.check(&args, &|sources| sources, A::TRANSPORT).await })
}

fn origins<A: CourierArgs>(args: &Args) -> Result<Origins, ConfigError> {
    A::PROCESS.origins::<A::Settings>(args)
}
