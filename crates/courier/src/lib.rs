//! The courier: the contract of a channel ([`Transport`]), the runtime that drives it ([`Courier`]), and the
//! conformance suite that every channel must pass. A channel crate provides a transport; claims, leases, attempts and
//! outcomes are handled here.

pub mod backoff;
pub mod conformance;
mod database;
mod engine;
pub mod faulty_transports;
pub mod feedback;
pub mod http_request;
mod leases;
mod metrics;
pub mod order_faults;
pub mod pace;
mod panic_guard;
pub mod probe;
pub mod process;
pub mod program;
mod provider_check;
pub mod provider_wait;
pub mod rate_limiter;
mod ready;
pub mod recording_sink;
pub mod rejected_callbacks;
pub mod rejection_window;
mod resolver;
pub mod response_rules;
mod run;
pub mod server_clock;
pub mod setting;
pub mod settings;
mod start_error;
mod state_report;
mod store_feedback;
mod sweeper;
pub mod transport;
mod wakeup_check;

pub use engine::EngineError;
pub use feedback::{
    AttemptId, ConsentNotice, DeliveryReceipt, FeedbackSink, NotStored, NoticeMoment, ReceiptResult,
    ReceiptStatus, SuppressAfter, SuppressionList,
};
pub use metrics::alert;
pub use probe::{Point, Probe};
pub use program::{CourierArgs, CourierProgram};
pub use run::{Courier, RunError};
pub use settings::Settings;
pub use start_error::TransportStartError;
pub use transport::{
    Batching, Capabilities, Checked, Envelope, LookupResult, Outcome, ThrottleScope, Transport,
    UnknownHandling,
};
