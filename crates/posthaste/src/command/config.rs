//! `posthaste config`: the settings of each process as they take effect, where each came from, and an example file.

use std::io::{self, Write};
use std::path::PathBuf;

use posthaste_ops::config::{ConfigError, Entry, Origins};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Column, Format, Reader};
use crate::settings;

const EXAMPLES: &str = "\
Examples:
  posthaste config example email > email.toml     every setting with its default, explained
  posthaste config check email --config email.toml
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
    /// The sandbox; its example alone is to be had.
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
    /// Say whether a process would start with these settings, and if not, which one is wrong.
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

#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    origin: String,
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
            context.terminal.note("These settings can be used.");
            Ok(())
        }
        Command::Example { part } => Ok(io::stdout().lock().write_all(example(part).as_bytes())?),
    }
}

fn show(what: &What, with_origin: bool, context: &Context) -> Result<()> {
    let origins = load(what, context)?;
    let row = |entry: &Entry| Row {
        key: entry.key.clone(),
        value: entry.shown.clone(),
        origin: entry.origin.to_string(),
    };
    let rows: Vec<Row> = origins.iter().map(row).collect();
    let mut columns = vec![
        Column { title: "Key", cell: |row: &Row, _: &Reader<'_>| row.key.clone() },
        Column { title: "Value", cell: |row, _| row.value.clone() },
    ];
    if with_origin {
        columns.push(Column { title: "Origin", cell: |row, _| row.origin.clone() });
    }
    context.output(Format::Table).list(&columns, &rows)
}

fn load(what: &What, context: &Context) -> Result<Origins> {
    Ok(match what.part {
        Part::Client => context.settings()?.origins,
        Part::Queue => queue(what.config.clone())?,
        Part::Email => email(what.config.clone())?,
        Part::Sandbox => {
            return Err(Failure::usage("the sandbox tells its settings itself, when it starts")
                .mend("posthaste config example sandbox"));
        }
    })
}

fn queue(config: Option<PathBuf>) -> Result<Origins, ConfigError> {
    let args = posthaste_queue::Args { config, ..posthaste_queue::Args::default() };
    Ok(args.load(std::env::vars_os())?.origins)
}

fn email(config: Option<PathBuf>) -> Result<Origins, ConfigError> {
    let process = posthaste_courier::process::Args { config, ..posthaste_courier::process::Args::default() };
    let args = posthaste_courier_email::Args { process, ..posthaste_courier_email::Args::default() };
    args.sources().load::<EmailSections>().map(|loaded| loaded.origins)
}

/// All sections of the e-mail courier, so that a wrong key or unit is found as its process would find it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be checked")]
struct EmailSections {
    redis: posthaste_store::Settings,
    admin: posthaste_ops::admin::Settings,
    log: posthaste_ops::telemetry::Settings,
    stop: posthaste_ops::stop::Settings,
    courier: posthaste_courier::process::Section,
    smtp: posthaste_courier_email::settings::Smtp,
    email: posthaste_courier_email::settings::Email,
    dkim: posthaste_courier_email::settings::Dkim,
}

fn example(part: Part) -> String {
    let texts: &[&str] = match part {
        Part::Client => &[settings::DEFAULTS],
        Part::Queue => &[posthaste_queue::settings::DEFAULTS, posthaste_ops::config::SECTIONS],
        Part::Email => &[
            posthaste_courier_email::settings::DEFAULTS,
            posthaste_courier::process::DEFAULTS,
            posthaste_ops::config::SECTIONS,
        ],
        Part::Sandbox => &[posthaste_sandbox::DEFAULTS],
    };
    texts.join("\n")
}
