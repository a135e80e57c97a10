//! The process: settings, log, sandbox, ready file, stop.

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

/// What the sandbox takes on its command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Settings file, of which the sections [sandbox…] count; the environment and flags come after it.
    #[arg(long, value_name = "FILE", env = "POSTHASTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where SMTP listens, as in 127.0.0.1:1025; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub smtp: Option<SocketAddr>,
    /// Where SMTP listens for connections that begin with TLS.
    #[arg(long, value_name = "ADDRESS")]
    pub smtps: Option<SocketAddr>,
    /// Where the outbox is, as in 127.0.0.1:8025.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Where the stand-in for Telegram listens: what takes the place of api.telegram.org.
    #[arg(long, value_name = "ADDRESS")]
    pub telegram: Option<SocketAddr>,
    /// Where the stand-in for VK listens: what takes the place of api.vk.com.
    #[arg(long, value_name = "ADDRESS")]
    pub vk: Option<SocketAddr>,
    /// Where the stand-in for Twilio listens: what takes the place of api.twilio.com.
    #[arg(long, value_name = "ADDRESS")]
    pub twilio: Option<SocketAddr>,
    /// Where the stand-in for a plain gateway of SMS listens.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Option<SocketAddr>,
    /// A file that gets every attempt with all its bytes, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Which events are logged: a level, or levels per module.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// A file to be written when everything listens: {"smtp":"…","smtps":"…","http":"…","telegram":"…",
    /// "vk":"…","twilio":"…","gateway":"…","certificate":"…"}.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// Why the process ends without having been asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Mend the settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `--log` is no filter.
    #[error("--log is no filter: say a level, or levels per module as in info,posthaste_sandbox=debug")]
    Log(#[source] tracing_subscriber::filter::ParseError),
    /// It cannot start; starting again may help.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The ready file cannot be written.
    #[error("cannot write the ready file {path}", path = .path.display())]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

impl RunError {
    /// The number the process ends with, as `sysexits.h` has them: 78 for settings, 69 for what may be there later.
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
/// It cannot start. Once it runs there are none.
pub async fn run(args: Args) -> Result<(), RunError> {
    let settings = load::load(&args, std::env::vars_os())?;
    log_to_stderr(&args.log)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
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
        tracing::warn!("the sandbox asks nobody who they are, and listens beyond this computer");
    }
    if let Some(path) = &args.ready_file {
        let write = write_ready(path, &sandbox);
        write.map_err(|source| RunError::ReadyFile { path: path.clone(), source })?;
    }
    let [smtp, smtps, ..] = places;
    let [http, telegram, vk, twilio, gateway] =
        [2, 3, 4, 5, 6].map(|at: usize| format!("http://{}", places[at]));
    tracing::info!(%smtp, %smtps, %http, %telegram, %vk, %twilio, %gateway, "sandbox open");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let totals = sandbox.counts().totals;
    tracing::info!(messages = totals.messages, attempts = totals.attempts, "sandbox closing");
    sandbox.stop().await;
    Ok(())
}

fn log_to_stderr(filter: &str) -> Result<(), RunError> {
    let filter = EnvFilter::try_new(filter).map_err(RunError::Log)?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(io::stderr);
    // Whoever hosts this process may have a log of its own already.
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

/// Written whole or not at all: whoever waits for the file never reads half of it.
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

/// Stand-in providers: take every message, send nothing on, fail on request.
#[derive(Debug, Parser)]
#[command(name = "posthaste-sandbox", version)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// All of `main`: reads the command line, runs, and turns the end into an exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Command::try_parse() {
        Ok(command) => command.args,
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 78 } else { 0 });
        }
    };
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(RunError::Signals(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "posthaste-sandbox: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

/// An error and what is behind it, on one line.
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
