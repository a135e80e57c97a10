//! Acceptance: orders come in, are checked and normalised, and are stored before they are answered.
//!
//! ```text
//! body ─ json ─▶ OrderBody ─ draft ─▶ Draft ┐
//!                recipients ─ sieve ─▶ rows ┴▶ accept: tie key ─▶ place in the day ─▶ store ─▶ answer
//! ```
//!
//! What is refused is refused before anything is written, named by place and code and never repeated. What was not confirmed
//! in time is told as unknown: the same request again learns the truth.

mod accept;
mod address;
mod ancestor;
mod answer;
mod batch;
mod change;
mod daily;
mod desk;
mod digest;
mod draft;
mod dry;
mod flaw;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod ids;
mod json;
mod key;
mod lines;
mod order;
mod order_ids;
mod orders;
#[cfg(test)]
mod properties;
mod quiet;
pub mod quota;
mod retry;
mod send_as;
pub mod settings;
mod sieve;
mod text;
mod times;
mod upload;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use address::{Given, mailbox, normalise};
pub use daily::{LimitView, limit_of};
pub(crate) use desk::Desk;
pub use order::Invalid;
pub(crate) use text::name as display_name;

use crate::state::AppState;

/// The routes that take orders and change them, the ancestor's among them.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(order_ids::create))
        .routes(routes!(orders::create))
        .routes(routes!(batch::create))
        .routes(routes!(orders::put, change::reschedule))
        .routes(routes!(change::cancel))
        .routes(routes!(retry::retry))
        .routes(routes!(ancestor::key))
        .routes(routes!(ancestor::queue))
        .routes(routes!(ancestor::limit))
}
