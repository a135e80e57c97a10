//! What operators meet by name. Processes take their help texts from here, and `cargo xtask pages` makes the reference
//! pages from it, so that code and pages cannot differ.

pub mod log_events;
pub mod metrics;
