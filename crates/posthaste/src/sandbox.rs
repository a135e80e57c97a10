//! `posthaste sandbox`: the stand-in providers as a process.

use std::net::SocketAddr;
use std::path::PathBuf;

use posthaste_ops::exit::Failure;
use posthaste_sandbox::{Sandbox, Settings};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `posthaste sandbox`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Where SMTP listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1025")]
    smtp: SocketAddr,
    /// Where SMTP listens for connections that begin with TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1465")]
    smtps: SocketAddr,
    /// Where the outbox listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025")]
    http: SocketAddr,
    /// Write every attempt to this file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// When the ports are open, write their addresses to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Runs the sandbox until it is asked to stop.
///
/// # Errors
/// It cannot start.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut settings = Settings::default();
    settings.smtp.listen = args.smtp;
    settings.smtp.listen_tls = args.smtps;
    settings.outbox.listen = args.http;
    settings.record.file = args.record;
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(Failure::software)?,
        signal(SignalKind::interrupt()).map_err(Failure::software)?,
    );
    let sandbox = Sandbox::start(settings).await.map_err(Failure::unavailable)?;
    if let Some(file) = args.ready_file {
        let ready = serde_json::json!({"smtp": sandbox.smtp().to_string()});
        std::fs::write(file, ready.to_string()).map_err(Failure::unavailable)?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}
