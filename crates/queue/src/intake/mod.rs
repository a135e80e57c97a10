//! Acceptance: orders are received, checked and normalised, and stored before the response is sent.
//!
//! ```text
//! body ─ json ─▶ OrderBody ─ check ─▶ ValidatedOrder ┐
//!                recipients ─ validator ─▶ deliveries ┴▶ accept: bind key ─▶ place in the day ─▶ store ─▶ response
//! ```
//!
//! Invalid input is refused before anything is written; errors give its place and a code and never repeat it. A write
//! that was not confirmed in time is reported as unknown: repeating the same request returns the outcome.

mod accept;
mod address;
mod answer;
mod batch;
mod change;
mod daily_limit;
mod digest;
mod dry_run;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod idempotency;
mod in_flight;
mod json;
#[cfg(feature = "judgement")]
pub mod judgement;
mod legacy_api;
mod lines;
mod order;
mod order_ids;
mod orders;
#[cfg(test)]
mod properties;
mod quiet_hours;
mod recipient_validator;
mod retry;
mod send_as;
pub mod settings;
mod sms_limits;
mod state;
mod text;
mod times;
mod too_long;
mod upload;
mod validated_order;
mod validation_error;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use address::{Given, mailbox, normalise};
pub(crate) use daily_limit::DailyLimits;
pub(crate) use json::is_field_name;
pub use order::OnInvalid;
pub(crate) use state::IntakeState;
pub(crate) use text::name as display_name;

/// The routes that accept and change orders, including the legacy API.
pub(crate) fn routes() -> OpenApiRouter<Arc<IntakeState>> {
    OpenApiRouter::new()
        .routes(routes!(order_ids::create))
        .routes(routes!(orders::create))
        .routes(routes!(batch::create))
        .routes(routes!(orders::put, change::reschedule))
        .routes(routes!(change::cancel))
        .routes(routes!(retry::retry))
        .routes(routes!(legacy_api::key))
        .routes(routes!(legacy_api::queue))
        .routes(routes!(legacy_api::limit))
}
