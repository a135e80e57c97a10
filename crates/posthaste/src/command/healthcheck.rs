//! `posthaste healthcheck`: checks a process, so that a container image needs no other program for it.

use std::time::Duration;

use posthaste_client::{Client, ClientOptions};

use crate::failure::{Failure, Kind, Result};
use crate::settings::web_address;

const EXAMPLES: &str = "\
Examples:
  posthaste healthcheck http://127.0.0.1:9464
  HEALTHCHECK CMD [\"posthaste\", \"healthcheck\", \"http://127.0.0.1:9464\"]
";

/// Arguments of `posthaste healthcheck`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Admin address of the process (admin.address in its settings).
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: String,
    /// Check only whether it is alive (/livez), not whether it is ready to work (/readyz).
    #[arg(long)]
    live: bool,
    /// How long to wait for the response, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    within: u64,
}

/// Runs the check.
///
/// # Errors
/// The process does not respond or is unhealthy: exit code 1, the only one that container runtimes know. A wrong address is
/// a usage error.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let path = if args.live { "livez" } else { "readyz" };
    let within = Duration::from_secs(args.within);
    let requested = async {
        let server = web_address(&args.admin, "http://127.0.0.1:9464")?;
        let client = Client::new(ClientOptions { server, token: None, timeout: within })?;
        client.fetch(&[path], &[], within).await?;
        Ok::<(), Failure>(())
    };
    requested.await.map_err(|failure| {
        let kind = if failure.kind() == Kind::Usage { Kind::Usage } else { Kind::Error };
        Failure::new(kind, format!("/{path}: {}", failure.lines().swap_remove(0)))
    })
}
