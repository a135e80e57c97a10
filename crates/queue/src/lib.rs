//! The queue service: accepts orders over HTTP and serves their history.
//!
//! Any number of replicas may run: all shared state is in the store. The service does not depend on which couriers run.
//!
//! | metric | meaning |
//! |---|---|
//! | `posthaste_queue_requests_total{route,method,status}` | requests answered |
//! | `posthaste_queue_request_seconds{route,method}` | time until the response head was sent |
//! | `posthaste_queue_rate_limited_total` | requests refused because their key exceeded its rate limit |
//! | `posthaste_queue_open_trackers` | open long polls and event streams |
//! | `posthaste_queue_accepted_orders_total` | orders accepted, not counting repeats |
//! | `posthaste_queue_accepted_recipients_total` | deliveries of accepted orders |

pub mod api;
pub mod auth;
mod docs_page;
mod error_responses;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod intake;
pub mod keys;
pub mod middleware;
mod offload;
pub mod order_response;
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
