//! `posthaste config`: the effective settings of each process, the origin of each, and an example file.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use posthaste_courier::{CourierProgram, process};
use posthaste_ops::config::{ConfigError, Origins, SettingEntry};
use posthaste_ops::{shutdown, telemetry};
use serde::Serialize;

use crate::channels::COURIERS;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Column, Format, Reader};
use crate::settings;

const EXAMPLES: &str = "\
Examples:
  posthaste config example email > email.toml     every setting with its default, explained
  posthaste config check email --config email.toml     the same for other couriers, queue and sandbox
  posthaste config show queue --origin            effective settings, and where each comes from
  posthaste config show client                    the command line's own settings
";

/// A program with settings.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// The command line.
    Client,
    /// The queue.
    Queue,
    /// The courier of a channel.
    Courier(&'static CourierProgram),
    /// The sandbox.
    Sandbox,
}

impl ValueEnum for Part {
    fn value_variants<'a>() -> &'a [Self] {
        static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
            let couriers = COURIERS.iter().map(|program| Part::Courier(program));
            [Part::Client, Part::Queue].into_iter().chain(couriers).chain([Part::Sandbox]).collect()
        });
        &PARTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Client => PossibleValue::new("client").help("The command line"),
            Self::Queue => PossibleValue::new("queue").help("The queue"),
            Self::Courier(CourierProgram { channel, .. }) => {
                PossibleValue::new(channel.name).help(format!("The {} courier", channel.noun))
            }
            Self::Sandbox => PossibleValue::new("sandbox").help("The sandbox"),
        })
    }
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
        /// The process whose settings to use.
        #[arg(value_enum)]
        part: Part,
    },
}

/// Which settings.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// The process whose settings to use.
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
        // All sections of the courier, so that a wrong key or unit is reported as its process would report it.
        Part::Courier(program) => (program.origins)(&process::Args { config, ..process::Args::default() })?,
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

fn example(part: Part) -> String {
    match part {
        Part::Client => settings::DEFAULTS.to_owned(),
        Part::Queue => [posthaste_queue::settings::DEFAULTS, posthaste_ops::config::SECTIONS].join("\n"),
        Part::Courier(program) => {
            [program.process.defaults, process::DEFAULTS, posthaste_ops::config::SECTIONS].join("\n")
        }
        Part::Sandbox => [posthaste_sandbox::DEFAULTS, telemetry::DEFAULTS, shutdown::DEFAULTS].join("\n"),
    }
}
