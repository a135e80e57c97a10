//! The arguments of `posthaste dev`.

use std::path::PathBuf;

use super::ports;

const EXAMPLES: &str = "\
Examples:
  posthaste dev                            all data is deleted when it stops
  posthaste dev --data ./posthaste-data    all data is kept in this folder
  posthaste dev --redis redis://127.0.0.1  use a Redis that is already running
  posthaste dev --port 0 --outbox-port 0 --smtp-port 0    use any free ports

While it runs, in another terminal:
  posthaste send --email anna@example.org --sms +12025550123 --telegram 1001 --vk 2001 --text \"Hello\" --watch
  posthaste outbox list
";

/// Arguments of `posthaste dev`.
#[derive(Debug, Clone, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Keep all data in this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Use this Redis or Valkey instead of a private one. For a password, set POSTHASTE_REDIS__PASSWORD_FILE.
    #[arg(long, value_name = "URL")]
    pub(super) redis: Option<String>,
    /// Port of the API; 0 means any free port.
    #[arg(long, value_name = "PORT", default_value_t = ports::API)]
    pub(super) port: u16,
    /// Port of the outbox; 0 means any free port.
    #[arg(long, value_name = "PORT", default_value_t = ports::OUTBOX)]
    pub(super) outbox_port: u16,
    #[command(flatten)]
    pub(super) provider_ports: ports::ProviderPorts,
}
