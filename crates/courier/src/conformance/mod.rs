//! The conformance suite every channel must pass. A channel crate provides a [`Bench`], that is its transport and a
//! fake provider, and calls [`run`] in one line of a test:
//!
//! ```no_run
//! # async fn example(bench: &dyn posthaste_courier::conformance::Bench, server_url: &str)
//! # -> Result<(), posthaste_courier::conformance::ConformanceFailure> {
//! let report = posthaste_courier::conformance::run(bench, server_url).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! | half | what it checks |
//! | --- | --- |
//! | [`on_transport`] | one outcome for each envelope, in their order; the outcome each provider behaviour requires; outcomes agree with what the provider accepted; a call dropped at its deadline, or anywhere, leaves the transport usable; concurrent calls do not mix; nothing is sent before it is requested; texts at the limits; `check` agrees with the credential; repeats under one token; inquiries |
//! | [`through_runtime`] | the same transport under the real runtime on a real server: nothing is sent early or before it is begun; an unknown outcome is resolved by policy, with no more copies than allowed; a stopped channel loses nothing; all concurrent calls obey a rate limit, counted at the provider; a stop releases leases |

mod bench;
mod report;
mod runtime_tests;
pub mod sample;
mod served;
mod transport_tests;

pub use bench::{Behaviour, Bench, Shown, TakenMessage, TextCase, TextFate, Toward};
pub use report::{ConformanceFailure, ConformanceReport};
pub use served::ServedTransport;

pub use runtime_tests::through_runtime;
pub use transport_tests::on_transport;

/// Runs both halves. `server_url` is a Redis or Valkey server used by this call alone.
///
/// # Errors
/// A [`ConformanceFailure`] with the check and what was wrong.
pub async fn run(bench: &dyn Bench, server_url: &str) -> Result<ConformanceReport, ConformanceFailure> {
    let mut report = Box::pin(on_transport(bench)).await?;
    report.join(Box::pin(through_runtime(bench, server_url)).await?);
    Ok(report)
}
