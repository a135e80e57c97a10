//! The queue service: takes orders over HTTP and tells their history.
//!
//! It may be run as many times as one likes: what is shared is in the store. Nothing here knows which couriers run.
//!
//! | metric | tells |
//! |---|---|
//! | `posthaste_queue_requests_total{route,method,status}` | answered requests |
//! | `posthaste_queue_request_seconds{route,method}` | time until the head of the answer |
//! | `posthaste_queue_rate_limited_total` | requests refused because their key asked too often |
//! | `posthaste_queue_open_trackers` | long polls and event streams that are open |
//! | `posthaste_queue_accepted_orders_total` | orders accepted, repeats not counted |
//! | `posthaste_queue_accepted_recipients_total` | rows of those orders |

pub mod api;
mod aside;
pub mod auth;
mod described;
pub mod edge;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod intake;
pub mod keys;
pub mod moment;
mod parked;
pub mod problem;
mod read;
mod readiness;
mod receipts;
mod reference;
mod run;
pub mod settings;
pub mod state;
mod suppressions;
mod track;
pub mod view;

pub use run::{BUCKETS, limits, run};
pub use settings::Args;
pub use state::AppState;
