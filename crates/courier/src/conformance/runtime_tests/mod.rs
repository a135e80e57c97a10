//! The second half: the transport under the real runtime, on a real server.

mod delivery;
mod harness;
mod recording_transport;
mod stopping;
mod unknowns;
mod waiting;

use super::bench::{Behaviour, Bench, Shown, Toward};
use super::report::{ConformanceFailure, ConformanceReport};
use harness::Yard;

/// Checks the transport under the real runtime. `server_url` is a Redis or Valkey server used by this call alone.
///
/// # Errors
/// A [`ConformanceFailure`] with the check and what was wrong.
pub async fn through_runtime(
    bench: &dyn Bench,
    server_url: &str,
) -> Result<ConformanceReport, ConformanceFailure> {
    let mut yard = Yard::open(bench, server_url).await?;
    Box::pin(yard.delivers()).await?;
    Box::pin(yard.resolves_unknowns()).await?;
    Box::pin(yard.waits_until_mended()).await?;
    Box::pin(yard.waits_for_rate_limits()).await?;
    Box::pin(yard.hands_back()).await?;
    Ok(yard.close().await)
}

/// Sets a behaviour toward everyone. Returns false if the provider can't show it, and notes that in the report.
async fn behaves(yard: &mut Yard<'_>, behaviour: Behaviour) -> bool {
    match yard.bench.behave(behaviour, Toward::Everyone).await {
        Shown::Yes => true,
        Shown::No(why) => {
            yard.report.lacks(behaviour, why);
            false
        }
    }
}
