//! The sandbox process: settings, log, sandbox, ready file, stop.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::load::{self, SettingsError};
use crate::sandbox::{Sandbox, StartError};

/// The sandbox's command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Settings file; only its [sandbox…] sections are read. The environment and flags override it
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// SMTP listen address, such as 127.0.0.1:1025; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS")]
    pub smtp: Option<SocketAddr>,
    /// SMTP listen address for implicit TLS
    #[arg(long, value_name = "ADDRESS")]
    pub smtps: Option<SocketAddr>,
    /// Outbox listen address, such as 127.0.0.1:8025
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Listen address of the fake Telegram API (use it in place of api.telegram.org)
    #[arg(long, value_name = "ADDRESS")]
    pub telegram: Option<SocketAddr>,
    /// Listen address of the fake VK API (use it in place of api.vk.com)
    #[arg(long, value_name = "ADDRESS")]
    pub vk: Option<SocketAddr>,
    /// Listen address of the fake Twilio API (use it in place of api.twilio.com)
    #[arg(long, value_name = "ADDRESS")]
    pub twilio: Option<SocketAddr>,
    /// Listen address of the fake generic SMS gateway
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Option<SocketAddr>,
    /// Write every attempt with all its bytes to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Log filter: a level, or levels per module
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Write this file once everything is listening: {"smtp":"…","smtps":"…","http":"…","telegram":"…",
    /// "vk":"…","twilio":"…","gateway":"…","certificate":"…"}
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// Why the process ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxRunError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `--log` is not a valid filter.
    #[error("invalid --log filter: give a level, or levels per module such as info,posthaste_sandbox=debug")]
    Log(#[source] tracing_subscriber::filter::ParseError),
    /// It cannot start; a restart may help.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The ready file cannot be written.
    #[error("cannot write the ready file {path}", path = .path.display())]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

impl SandboxRunError {
    /// The exit code, from `sysexits.h`: 78 for invalid settings, 69 for a problem that may pass.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_)
            | Self::Log(_)
            | Self::Start(StartError::Fault(_) | StartError::Setting(_) | StartError::Certificate(_)) => 78,
            _ => 69,
        }
    }
}

/// Runs the sandbox until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start. Once it runs there are no errors.
pub async fn run(args: Args) -> Result<(), SandboxRunError> {
    let settings = load::load(&args, std::env::vars_os())?;
    log_to_stderr(&args.log)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SandboxRunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SandboxRunError::Signals)?;
    let sandbox = Sandbox::start(settings).await?;
    let places = [
        sandbox.smtp(),
        sandbox.smtps(),
        sandbox.http(),
        sandbox.telegram().address(),
        sandbox.vk().address(),
        sandbox.twilio().address(),
        sandbox.gateway().address(),
    ];
    if places.iter().any(|place| !place.ip().is_loopback()) {
        tracing::warn!(
            event = "sandbox.exposed",
            "the sandbox is listening beyond this computer; anyone who can reach it can use it"
        );
    }
    if let Some(path) = &args.ready_file {
        let write = write_ready(path, &sandbox);
        write.map_err(|source| SandboxRunError::ReadyFile { path: path.clone(), source })?;
    }
    let [smtp, smtps, ..] = places;
    let [http, telegram, vk, twilio, gateway] =
        [2, 3, 4, 5, 6].map(|at: usize| format!("http://{}", places[at]));
    tracing::info!(
        event = "sandbox.opened",
        %smtp,
        %smtps,
        %http,
        %telegram,
        %vk,
        %twilio,
        %gateway,
        "sandbox open"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let totals = sandbox.counts().totals;
    tracing::info!(
        event = "sandbox.closing",
        messages = totals.messages,
        attempts = totals.attempts,
        "sandbox closing"
    );
    sandbox.stop().await;
    Ok(())
}

fn log_to_stderr(filter: &str) -> Result<(), SandboxRunError> {
    let filter = EnvFilter::try_new(filter).map_err(SandboxRunError::Log)?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(io::stderr);
    // The process that hosts this one may have set up a log already.
    let _ = log.try_init();
    Ok(())
}

#[derive(Serialize)]
struct Ready<'a> {
    smtp: SocketAddr,
    smtps: SocketAddr,
    http: String,
    telegram: String,
    vk: String,
    twilio: String,
    gateway: String,
    certificate: &'a str,
}

/// Atomic: a reader never sees half a file.
fn write_ready(path: &Path, sandbox: &Sandbox) -> io::Result<()> {
    let ready = Ready {
        smtp: sandbox.smtp(),
        smtps: sandbox.smtps(),
        http: format!("http://{}", sandbox.http()),
        telegram: sandbox.telegram().url(),
        vk: sandbox.vk().url(),
        twilio: sandbox.twilio().url(),
        gateway: sandbox.gateway().url(),
        certificate: sandbox.certificate_pem(),
    };
    let text = serde_json::to_vec(&ready)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, path)
}

/// Fake providers: accept every message, send nothing on, fail on request
#[derive(Debug, Parser)]
#[command(name = "posthaste-sandbox", version)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// The whole of `main`: reads the command line, runs, and returns an exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Command::try_parse() {
        Ok(command) => command.args,
        Err(error) => {
            // If standard error is closed, there is nowhere to report to.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 78 } else { 0 });
        }
    };
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(SandboxRunError::Signals(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "posthaste-sandbox: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Command::command().debug_assert();
    }
}
