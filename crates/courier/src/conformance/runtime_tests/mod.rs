//! The second half: the transport under the real runtime, on a real server.

mod delivery;
mod harness;
mod recording_transport;
mod stopping;
mod unknowns;
mod waiting;

use super::bench::{Behaviour, Bench, Shown, Toward};
use super::report::{ConformanceFailure, ConformanceReport};
use harness::Harness;

/// Checks the transport under the real runtime. `server_url` is a Redis or Valkey server used by this call alone.
///
/// # Errors
/// A [`ConformanceFailure`] with the check and what was wrong.
pub async fn through_runtime(
    bench: &dyn Bench,
    server_url: &str,
) -> Result<ConformanceReport, ConformanceFailure> {
    let mut harness = Harness::open(bench, server_url).await?;
    Box::pin(harness.delivers()).await?;
    Box::pin(harness.resolves_unknowns()).await?;
    Box::pin(harness.waits_until_mended()).await?;
    Box::pin(harness.waits_for_rate_limits()).await?;
    Box::pin(harness.hands_back()).await?;
    Ok(harness.close().await)
}

/// Sets a behaviour toward everyone. Returns false if the provider can't show it, and notes that in the report.
async fn behaves(harness: &mut Harness<'_>, behaviour: Behaviour) -> bool {
    match harness.bench.behave(behaviour, Toward::Everyone).await {
        Shown::Yes => true,
        Shown::No(why) => {
            harness.report.lacks(behaviour, why);
            false
        }
    }
}
