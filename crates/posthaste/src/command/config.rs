//! `posthaste config`: the settings of each process as they take effect, where each came from, and an example file.

use std::io::{self, Write};
use std::path::PathBuf;

use posthaste_courier::process::{self, Process};
use posthaste_ops::config::{ConfigError, Entry, Origins};
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
  posthaste config show queue --origin            what is in effect, and what set it
  posthaste config show client                    the command line's own settings
";

/// Whose settings.
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
    /// Show the settings in effect; secrets are hidden.
    Show {
        #[command(flatten)]
        what: What,
        /// Say also where each came from.
        #[arg(long)]
        origin: bool,
    },
    /// Say whether a process can read these settings, and if not, which one is wrong. `posthaste doctor` says whether a
    /// provider takes them.
    Check {
        #[command(flatten)]
        what: What,
    },
    /// Write a settings file with every default, explained.
    Example {
        /// Whose.
        #[arg(value_enum)]
        part: Part,
    },
}

/// Which settings.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Whose.
    #[arg(value_enum, default_value = "client")]
    part: Part,
    /// The settings file the process would be given.
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    config: Option<PathBuf>,
}

/// A setting in effect.
#[derive(Serialize)]
pub(crate) struct Row {
    /// Its dotted key.
    pub(crate) key: String,
    /// Its value; `***` for a secret.
    pub(crate) value: String,
    /// What set it.
    pub(crate) origin: String,
}

/// Runs one of them.
///
/// # Errors
/// The settings cannot be used; standard output cannot be written.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Show { what, origin } => show(&what, origin, context),
        Command::Check { what } => {
            load(&what, context)?;
            context.terminal.note("These settings can be read: keys, types and units are right.");
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
        Part::Sandbox => return crate::sandbox::settings(config),
    };
    let row = |entry: &Entry| Row {
        key: entry.key.clone(),
        value: entry.shown.clone(),
        origin: entry.origin.to_string(),
    };
    // Files and environments are shared. What is meant for another process is not in effect here, and which of it is secret
    // is not known here either.
    let own: toml::Table = example(what.part).parse().map_err(|error: toml::de::Error| {
        Failure::error("the defaults inside the program are no TOML").because(error)
    })?;
    let is_own =
        |entry: &&Entry| entry.key.split('.').next().is_some_and(|section| own.contains_key(section));
    Ok(origins.iter().filter(is_own).map(row).collect())
}

fn queue(config: Option<PathBuf>) -> Result<Origins, ConfigError> {
    let args = posthaste_queue::Args { config, ..posthaste_queue::Args::default() };
    Ok(args.load(std::env::vars_os())?.origins)
}

/// All sections of a courier, so that a wrong key or unit is found as its process would find it.
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
        Part::Sandbox => posthaste_sandbox::DEFAULTS.to_owned(),
    }
}
