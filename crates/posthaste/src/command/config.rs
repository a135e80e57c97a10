//! `posthaste config`: the effective settings of each process, the origin of each, and an example file.

use std::io::{self, Write};
use std::path::PathBuf;

use posthaste_courier::process::{self, Process};
use posthaste_ops::config::{ConfigError, Origins, SettingEntry};
use posthaste_ops::{shutdown, telemetry};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Column, Format, Reader};
use crate::settings;

const EXAMPLES: &str = "\
Examples:
  posthaste config example email > email.toml     every setting with its default, explained
  posthaste config check email --config email.toml     the same for sms, telegram, vk, queue and sandbox
  posthaste config show queue --origin            effective settings, and where each comes from
  posthaste config show client                    the command line's own settings
";

/// A program with settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The command line.
    Client,
    /// The queue.
    Queue,
    /// The e-mail courier.
    Email,
    /// The SMS courier.
    Sms,
    /// The Telegram courier.
    Telegram,
    /// The VK courier.
    Vk,
    /// The sandbox.
    Sandbox,
}

/// The commands about settings.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show the effective settings. Secrets are hidden.
    Show {
        #[command(flatten)]
        what: What,
        /// Also show where each setting comes from.
        #[arg(long)]
        origin: bool,
    },
    /// Check whether a process can read these settings, and name the wrong one if not. `posthaste doctor` checks whether a
    /// provider accepts them.
    Check {
        #[command(flatten)]
        what: What,
    },
    /// Print a settings file with every setting, its default and an explanation.
    Example {
        /// Whose settings.
        #[arg(value_enum)]
        part: Part,
    },
}

/// Which settings.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Whose settings.
    #[arg(value_enum, default_value = "client")]
    part: Part,
    /// Settings file of the process.
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    config: Option<PathBuf>,
}

/// An effective setting.
#[derive(Serialize)]
pub(crate) struct Row {
    /// Its dotted key.
    pub(crate) key: String,
    /// Its value; `***` for a secret.
    pub(crate) value: String,
    /// Where it comes from.
    pub(crate) origin: String,
}

/// Runs a command.
///
/// # Errors
/// The settings are invalid, or standard output cannot be written.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Show { what, origin } => show(&what, origin, context),
        Command::Check { what } => {
            load(&what, context)?;
            context.terminal.note("The settings are valid: keys, types and units are correct.");
            Ok(())
        }
        Command::Example { part } => Ok(io::stdout().lock().write_all(example(part).as_bytes())?),
    }
}

fn show(what: &What, with_origin: bool, context: &Context) -> Result<()> {
    let rows = load(what, context)?;
    let mut columns = vec![
        Column { title: "Key", cell: |row: &Row, _: &Reader<'_>| row.key.clone() },
        Column { title: "Value", cell: |row, _| row.value.clone() },
    ];
    if with_origin {
        columns.push(Column { title: "Origin", cell: |row, _| row.origin.clone() });
    }
    context.output(Format::Table).list(&columns, &rows)
}

fn load(what: &What, context: &Context) -> Result<Vec<Row>> {
    let config = what.config.clone();
    let origins = match what.part {
        Part::Client => context.settings()?.origins,
        Part::Queue => queue(config)?,
        Part::Email => {
            courier::<posthaste_courier_email::Settings>(posthaste_courier_email::PROCESS, config)?
        }
        Part::Sms => courier::<posthaste_courier_sms::Settings>(posthaste_courier_sms::PROCESS, config)?,
        Part::Telegram => {
            courier::<posthaste_courier_telegram::Settings>(posthaste_courier_telegram::PROCESS, config)?
        }
        Part::Vk => courier::<posthaste_courier_vk::Settings>(posthaste_courier_vk::PROCESS, config)?,
        Part::Sandbox => sandbox(config)?,
    };
    let row = |entry: &SettingEntry| Row {
        key: entry.key.clone(),
        value: entry.shown.clone(),
        origin: entry.origin.to_string(),
    };
    // Processes may share files and environments. Settings of another process have no effect here, and this process does
    // not know which of them are secret, so only its own sections are shown.
    let own: toml::Table = example(what.part).parse().map_err(|error: toml::de::Error| {
        Failure::error("the built-in defaults are not valid TOML").because(error)
    })?;
    let is_own =
        |entry: &&SettingEntry| entry.key.split('.').next().is_some_and(|section| own.contains_key(section));
    Ok(origins.iter().filter(is_own).map(row).collect())
}

fn queue(config: Option<PathBuf>) -> Result<Origins, ConfigError> {
    let args = posthaste_queue::Args { config, ..posthaste_queue::Args::default() };
    Ok(args.load(std::env::vars_os())?.origins)
}

fn sandbox(config: Option<PathBuf>) -> Result<Origins, ConfigError> {
    let args = posthaste_sandbox::Args { config, ..posthaste_sandbox::Args::default() };
    Ok(args.load(std::env::vars_os())?.origins)
}

/// Loads all sections of a courier, so that a wrong key or unit is reported as its process would report it.
fn courier<S: DeserializeOwned>(of: Process, config: Option<PathBuf>) -> Result<Origins, ConfigError> {
    of.origins::<S>(&process::Args { config, ..process::Args::default() })
}

fn example(part: Part) -> String {
    let courier = |own| [own, process::DEFAULTS, posthaste_ops::config::SECTIONS].join("\n");
    match part {
        Part::Client => settings::DEFAULTS.to_owned(),
        Part::Queue => [posthaste_queue::settings::DEFAULTS, posthaste_ops::config::SECTIONS].join("\n"),
        Part::Email => courier(posthaste_courier_email::settings::DEFAULTS),
        Part::Sms => courier(posthaste_courier_sms::settings::DEFAULTS),
        Part::Telegram => courier(posthaste_courier_telegram::settings::DEFAULTS),
        Part::Vk => courier(posthaste_courier_vk::settings::DEFAULTS),
        Part::Sandbox => [posthaste_sandbox::DEFAULTS, telemetry::DEFAULTS, shutdown::DEFAULTS].join("\n"),
    }
}
