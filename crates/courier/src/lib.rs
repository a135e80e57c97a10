//! The courier: the contract of a channel ([`Transport`]), the runtime that drives it ([`Courier`]), and the test transports
//! every channel is compared with. A channel crate gives a transport; claims, leases, attempts and outcomes are kept here.

pub mod adversary;
pub mod backoff;
pub mod budget;
pub mod clockwatch;
pub mod conformance;
mod database;
pub mod desk;
mod engine;
pub mod exchange;
mod hearing;
mod leases;
mod metrics;
mod noticed;
mod office;
pub mod pace;
pub mod probe;
pub mod process;
mod ready;
pub mod refusals;
mod resolver;
mod run;
pub mod setting;
pub mod settings;
pub mod standing;
mod sweeper;
pub mod table;
pub mod told;
pub mod transport;

pub use desk::{AttemptId, Ban, Desk, List, NotStored, Noted, Notice, Receipt, Said, Word};
pub use engine::EngineError;
pub use metrics::alarm;
pub use probe::{Point, Probe};
pub use run::{Courier, RunError};
pub use settings::Settings;
pub use transport::{Abilities, Batching, Checked, Envelope, Found, Outcome, Policy, Scope, Transport};
