//! The sandbox as a process: settings, log, sandbox, ready file, stop.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use posthaste_model::channels;
use posthaste_ops::config::{ConfigError, Loaded, Sources};
use posthaste_ops::exit::{self, Exit, ExitFailure};
use posthaste_ops::shutdown::{self, Shutdown};
use posthaste_ops::{ready_file, telemetry};
use serde::Serialize;

use crate::sandbox::{Sandbox, StartError};
use crate::settings::{DEFAULTS, ProcessSettings, SECRETS};

/// The sandbox's command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Settings file; only its sections `sandbox`, `log` and `stop` are read. The environment and flags override it
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
    /// Listen address of the fake receiver of webhooks
    #[arg(long, value_name = "ADDRESS")]
    pub webhook: Option<SocketAddr>,
    /// Write every attempt with all its bytes to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Log filter: a level, or levels per module
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Write this file once everything is listening: {"smtp":"…","smtps":"…","http":"…","telegram":"…",
    /// "vk":"…","twilio":"…","gateway":"…","webhook":"…","certificate":"…"}
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

impl Args {
    /// The effective settings, given these environment variables.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<ProcessSettings>, ConfigError> {
        let mut sources = Sources::new(DEFAULTS)
            .defaults(telemetry::DEFAULTS)
            .defaults(shutdown::DEFAULTS)
            .elsewhere(channels::sections())
            .secrets(SECRETS)
            .reserved(&["POSTHASTE_CONFIG"])
            .environment(environment)
            .flag("--smtp", "sandbox.smtp.listen", self.smtp)
            .flag("--smtps", "sandbox.smtp.listen_tls", self.smtps)
            .flag("--http", "sandbox.outbox.listen", self.http)
            .flag("--telegram", "sandbox.telegram.listen", self.telegram)
            .flag("--vk", "sandbox.vk.listen", self.vk)
            .flag("--twilio", "sandbox.twilio.listen", self.twilio)
            .flag("--gateway", "sandbox.gateway.listen", self.gateway)
            .flag("--webhook", "sandbox.webhook.listen", self.webhook)
            .flag("--record", "sandbox.record.file", self.record.as_ref().map(|path| path.display()))
            .flag("--log", "log.filter", self.log.as_ref());
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        sources.load()
    }
}

/// Runs the sandbox until SIGTERM or SIGINT.
///
/// # Errors
/// An [`ExitFailure`] that says why it could not start, or that connections were still open at the end.
pub async fn run(args: Args) -> Result<(), ExitFailure> {
    let settings = args.load(std::env::vars_os())?.settings;
    telemetry::install(&settings.log)?;
    let stop = Shutdown::on_signals(&settings.stop).map_err(ExitFailure::software)?;
    let sandbox = Sandbox::start(settings.sandbox).await.map_err(refusal)?;
    let places = [
        sandbox.smtp(),
        sandbox.smtps(),
        sandbox.http(),
        sandbox.telegram().address(),
        sandbox.vk().address(),
        sandbox.twilio().address(),
        sandbox.gateway().address(),
        sandbox.webhook().address(),
    ];
    if places.iter().any(|place| !place.ip().is_loopback()) {
        tracing::warn!(
            event = "sandbox.exposed",
            "the sandbox is listening beyond this computer; anyone who can reach it can use it"
        );
    }
    if let Some(path) = &args.ready_file {
        let written = ready_file::write(path, &Ready::of(&sandbox));
        written.map_err(|error| {
            ExitFailure::unavailable(format!("cannot write the ready file {}: {error}", path.display()))
        })?;
    }
    let [smtp, smtps, ..] = places;
    let [http, telegram, vk, twilio, gateway, webhook] =
        [2, 3, 4, 5, 6, 7].map(|at: usize| format!("http://{}", places[at]));
    tracing::info!(
        event = "sandbox.opened",
        %smtp,
        %smtps,
        %http,
        %telegram,
        %vk,
        %twilio,
        %gateway,
        %webhook,
        "sandbox open"
    );
    let soft = stop.soft.clone();
    stop.spawn("sandbox", async move {
        soft.cancelled().await;
        let totals = sandbox.counts().totals;
        tracing::info!(
            event = "sandbox.closing",
            messages = totals.messages,
            attempts = totals.attempts,
            "sandbox closing"
        );
        sandbox.stop().await;
    });
    match Exit::from(stop.ended().await) {
        Exit::Done => Ok(()),
        Exit::Software => Err(ExitFailure::software("the sandbox panicked; see the log above")),
        exit => Err(ExitFailure::new(exit, "stopped before all connections were closed")),
    }
}

/// 78 for invalid settings, 69 for a problem that may pass.
fn refusal(error: StartError) -> ExitFailure {
    match error {
        StartError::Fault(_) | StartError::Setting(_) | StartError::Certificate(_) => {
            ExitFailure::usage(error)
        }
        StartError::Listen { .. } | StartError::RecordFile(_) | StartError::Channel(_) => {
            ExitFailure::unavailable(error)
        }
    }
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
    webhook: String,
    certificate: &'a str,
}

impl<'a> Ready<'a> {
    fn of(sandbox: &'a Sandbox) -> Self {
        Self {
            smtp: sandbox.smtp(),
            smtps: sandbox.smtps(),
            http: format!("http://{}", sandbox.http()),
            telegram: sandbox.telegram().url(),
            vk: sandbox.vk().url(),
            twilio: sandbox.twilio().url(),
            gateway: sandbox.gateway().url(),
            webhook: sandbox.webhook().url(),
            certificate: sandbox.certificate_pem(),
        }
    }
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
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    exit::run("posthaste-sandbox", || async { run(args).await.map(|()| Exit::Done) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use clap::CommandFactory;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_command_line_holds_together() {
        Command::command().debug_assert();
    }

    fn with(environment: &[(&str, &str)], args: &Args) -> Result<Settings, ConfigError> {
        let variables = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        args.load(variables).map(|loaded| loaded.settings.sandbox)
    }

    #[test]
    fn the_documented_defaults_are_those_of_the_library_but_for_the_ports() {
        let mut documented = with(&[], &Args::default()).unwrap();
        let library = Settings::default();
        let ports = [documented.smtp.listen, documented.smtp.listen_tls, documented.outbox.listen];
        assert_eq!(
            ports.map(|address| address.to_string()),
            ["127.0.0.1:1025", "127.0.0.1:1465", "127.0.0.1:8025"]
        );
        documented.smtp.listen = library.smtp.listen;
        documented.smtp.listen_tls = library.smtp.listen_tls;
        documented.outbox.listen = library.outbox.listen;
        assert_eq!(format!("{documented:?}"), format!("{library:?}"));
    }

    #[test]
    fn flags_win_over_the_environment_and_it_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("posthaste.toml");
        let text = "[sandbox.smtp]\nhost = \"a.test\"\nidle_for = \"7s\"\nmax_recipients = 7\n[redis]\nurl = \"x\"\n\
            [[sandbox.faults]]\nstage = \"rcpt\"\naction = { refuse = { code = 550, text = \"5.1.1 no\" } }\n";
        std::fs::write(&path, text).unwrap();
        let args = Args {
            config: Some(path),
            smtp: Some("127.0.0.1:7".parse().unwrap()),
            record: Some("attempts.ndjson".into()),
            ..Args::default()
        };
        let environment = [
            ("POSTHASTE_SANDBOX__SMTP__HOST", "b.test"),
            ("POSTHASTE_SANDBOX__SMTP__LISTEN", "127.0.0.1:8"),
            ("POSTHASTE_SANDBOX__SMTP__MAX_CONNECTIONS", "9"),
            ("POSTHASTE_SANDBOX__SMTP__WITHOUT", "pipelining"),
            ("POSTHASTE_SANDBOX__SMTP__AUTH__USERS__COURIER", "1234"),
            ("POSTHASTE_REDIS__URL", "redis://elsewhere"),
        ];
        let settings = with(&environment, &args).unwrap();
        assert_eq!(settings.smtp.host, "b.test");
        assert_eq!(settings.smtp.listen.port(), 7);
        assert_eq!((settings.smtp.idle_for, settings.smtp.max_recipients), (Duration::from_secs(7), 7));
        assert_eq!((settings.smtp.max_connections, settings.smtp.without.len()), (9, 1));
        assert_eq!((settings.smtp.auth.users.len(), settings.faults.len()), (1, 1));
        assert_eq!(settings.record.file.as_deref(), Some(Path::new("attempts.ndjson")));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let wrong = |name, value| with(&[(name, value)], &Args::default()).unwrap_err().to_string();
        let unknown = wrong("POSTHASTE_SANDBOX__SMTP__COLOUR", "red");
        assert!(unknown.contains("colour") && unknown.contains("environment"), "{unknown}");
        let unit = wrong("POSTHASTE_SANDBOX__SMTP__IDLE_FOR", "5 parsecs");
        assert!(unit.contains("idle_for"), "{unit}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("posthaste.toml");
        std::fs::write(&path, "[sandbx]\n").unwrap();
        let args = Args { config: Some(path.clone()), ..Args::default() };
        assert!(with(&[], &args).unwrap_err().to_string().contains("sandbx"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(with(&[], &args), Err(ConfigError::File { .. })));
    }

    #[test]
    fn every_setting_has_its_origin_and_no_secret_is_shown() {
        let environment = [
            ("POSTHASTE_SANDBOX__TWILIO__AUTH_TOKEN", "canary-token"),
            ("POSTHASTE_SANDBOX__TELEGRAM__TOKENS", "canary-bot"),
            ("POSTHASTE_SANDBOX__SMTP__AUTH__USERS__COURIER", "canary-word"),
            ("POSTHASTE_SANDBOX__VK__PER_SECOND", "7"),
        ];
        let args = Args { smtp: Some("127.0.0.1:7".parse().unwrap()), ..Args::default() };
        let loaded = args.load(environment.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let of = |key: &str| {
            let found = loaded.origins.iter().find(|setting| setting.key == key).unwrap();
            format!("{} {}", found.shown, found.origin)
        };
        let variable = |name: &str| format!("environment variable POSTHASTE_SANDBOX__{name}");
        assert_eq!(of("sandbox.smtp.listen"), "127.0.0.1:7 flag --smtp");
        assert_eq!(of("sandbox.vk.per_second"), format!("7 {}", variable("VK__PER_SECOND")));
        assert!(of("sandbox.vk.random_for").starts_with("1h "), "{}", of("sandbox.vk.random_for"));
        assert_eq!(of("sandbox.twilio.auth_token"), format!("*** {}", variable("TWILIO__AUTH_TOKEN")));
        assert_eq!(of("sandbox.telegram.tokens"), format!("*** {}", variable("TELEGRAM__TOKENS")));
        let user = variable("SMTP__AUTH__USERS__COURIER");
        assert_eq!(of("sandbox.smtp.auth.users.courier"), format!("*** {user}"));
        assert!(loaded.origins.iter().is_sorted_by(|one, other| one.key < other.key));
        assert!(!format!("{loaded:?}").contains("canary"), "{loaded:?}");
    }

    #[test]
    fn what_the_process_refuses_is_refused_here() {
        let refused = with(&[("POSTHASTE_SANDBOX__VK__PER_SECOND", "many")], &Args::default()).unwrap_err();
        assert!(refused.to_string().starts_with("sandbox.vk.per_second: "), "{refused}");
    }
}
