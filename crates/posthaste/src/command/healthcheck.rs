//! `posthaste healthcheck`: asks a process how it is, so that an image needs no other program for it.

use std::time::Duration;

use reqwest::Method;

use crate::api::Client;
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
    /// The process's admin address (`admin.address` in its settings).
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: String,
    /// Ask only whether it lives, not whether it can work.
    #[arg(long)]
    live: bool,
    /// How long the answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    within: u64,
}

/// Asks.
///
/// # Errors
/// It does not answer, or is not well; always exit code 1, the one container runtimes know.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let path = if args.live { "/livez" } else { "/readyz" };
    let asked = async {
        let client = Client::of(
            web_address(&args.admin, "http://127.0.0.1:9464")?,
            None,
            Duration::from_secs(args.within),
        )?;
        let request = client.request(Method::GET, path, &[]).timeout(Duration::from_secs(args.within));
        client.answer(request).await.map(drop)
    };
    asked.await.map_err(|failure| {
        let kind = if failure.kind() == Kind::Usage { Kind::Usage } else { Kind::Error };
        Failure::new(kind, format!("{path}: {}", failure.lines().swap_remove(0)))
    })
}
