//! `posthaste healthcheck`: checks a process, so that a container image needs no other program for it.

use std::time::Duration;

use posthaste_client::{Client, ClientOptions};
use posthaste_ops::address::ListenAddress;
use url::Url;

use crate::failure::{Failure, Kind, Result};
use crate::settings::web_address;

const EXAMPLES: &str = "\
Examples:
  posthaste healthcheck http://127.0.0.1:9464
  posthaste healthcheck unix:/run/posthaste/admin.sock
  HEALTHCHECK CMD [\"posthaste\", \"healthcheck\", \"http://127.0.0.1:9464\"]
";

/// Arguments of `posthaste healthcheck`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Admin address of the process (admin.address in its settings): a URL, or unix:/path/of/socket.
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
        client(&args.admin, within)?.fetch(&[path], &[], within).await?;
        Ok::<(), Failure>(())
    };
    requested.await.map_err(|failure| {
        let kind = if failure.kind() == Kind::Usage { Kind::Usage } else { Kind::Error };
        Failure::new(kind, format!("/{path}: {}", failure.lines().swap_remove(0)))
    })
}

/// A client of the admin address.
fn client(admin: &str, timeout: Duration) -> Result<Client> {
    if !admin.starts_with("unix:") {
        let server = web_address(admin, "http://127.0.0.1:9464")?;
        return Ok(Client::new(ClientOptions { server, token: None, timeout })?);
    }
    let address = admin.parse::<ListenAddress>();
    let address = address.map_err(|error| Failure::usage("not an admin address").because(error))?;
    let ListenAddress::Unix(socket) = address else {
        return Err(Failure::usage("not an admin address; write unix:/path/of/socket"));
    };
    let server = Url::parse("http://localhost")
        .map_err(|error| Failure::error("cannot ask over a socket").because(error))?;
    Ok(Client::over_socket(ClientOptions { server, token: None, timeout }, &socket)?)
}
