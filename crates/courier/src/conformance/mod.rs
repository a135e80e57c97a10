//! The suite every channel must pass. A channel crate gives a [`Bench`], its transport and a stand-in for its provider, and
//! calls [`run`] in one line of a test:
//!
//! ```no_run
//! # async fn example(bench: &dyn posthaste_courier::conformance::Bench, server_url: &str)
//! # -> Result<(), posthaste_courier::conformance::Failure> {
//! let report = posthaste_courier::conformance::run(bench, server_url).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! | half | what it holds the channel to |
//! | --- | --- |
//! | [`on_transport`] | one outcome for each envelope and in their order; the outcome each behaviour of a provider calls for; what is said agrees with what the provider took; a call dropped at its deadline, or anywhere, leaves the transport usable; many calls at once do not mix; nothing is sent unasked; texts at the limits; `check` agrees with the credential; repeats under one token, inquiries |
//! | [`through_runtime`] | the same transport under the real runtime on a real server: nothing is sent early or before it is begun; an unknown outcome is resolved by policy, with no more copies than allowed; a stopped channel loses nothing; a rate limit is waited for, by all calls at once, as the provider counts; a stop hands back |

mod alone;
mod bench;
mod report;
mod through;

pub use bench::{Behaviour, Bench, Shown, Taken, TextCase, TextFate, Toward};
pub use report::{Failure, Report};

pub use alone::on_transport;
pub use through::through_runtime;

/// Both halves. `server_url` names a Redis or Valkey that belongs to this call alone.
///
/// # Errors
/// A [`Failure`] that says what was checked and what was wrong.
pub async fn run(bench: &dyn Bench, server_url: &str) -> Result<Report, Failure> {
    let mut report = Box::pin(on_transport(bench)).await?;
    report.join(Box::pin(through_runtime(bench, server_url)).await?);
    Ok(report)
}
