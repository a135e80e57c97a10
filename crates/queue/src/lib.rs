//! The queue service: accepts orders over HTTP and serves their history.
//!
//! Any number of replicas may run: all shared state is in the store. The service does not depend on which couriers run.

pub mod api;
pub mod auth;
mod channel_watch;
mod docs_page;
mod error_responses;
mod examples;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod intake;
pub mod keys;
pub mod middleware;
mod offload;
pub mod order_response;
mod page_link;
mod parameters;
mod parked;
pub mod problem;
mod read;
mod readiness;
mod receipt_channels;
mod run;
pub mod settings;
pub mod state;
mod streaming;
mod suppressions;
pub mod timestamp;

pub use run::{BUCKETS, limits, run};
pub use settings::Args;
pub use state::AppState;
