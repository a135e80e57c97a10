//! The second half: the transport under the real runtime, on a real server.

mod delivery;
mod stopping;
mod unknowns;
mod waiting;
mod witness;
mod yard;

use super::bench::{Behaviour, Bench, Shown, Toward};
use super::report::{Failure, Report};
use yard::Yard;

/// The transport under the real runtime. `server_url` names a Redis or Valkey that belongs to this call alone.
///
/// # Errors
/// A [`Failure`] that says what was checked and what was wrong.
pub async fn through_runtime(bench: &dyn Bench, server_url: &str) -> Result<Report, Failure> {
    let mut yard = Yard::open(bench, server_url).await?;
    Box::pin(yard.delivers()).await?;
    Box::pin(yard.resolves_unknowns()).await?;
    Box::pin(yard.waits_until_mended()).await?;
    Box::pin(yard.waits_for_rate_limits()).await?;
    Box::pin(yard.hands_back()).await?;
    Ok(yard.close().await)
}

/// Sets a behaviour toward everyone; false when the provider can't show it, which the report then tells.
async fn behaves(yard: &mut Yard<'_>, behaviour: Behaviour) -> bool {
    match yard.bench.behave(behaviour, Toward::Everyone).await {
        Shown::Yes => true,
        Shown::No(why) => {
            yard.report.lacks(behaviour, why);
            false
        }
    }
}
