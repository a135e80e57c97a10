//! What every process needs: configuration, telemetry, health and metrics port, two-stage shutdown, exit codes.
//!
//! This crate is independent of the domain: it knows nothing about messages, channels or Redis, and depends on none of our
//! crates. The order in a `main` is always the same:
//!
//! 1. [`exit::run`] creates the runtime and turns the result into an exit code,
//! 2. [`config::Sources`] loads the settings, or refuses them before anything is opened,
//! 3. [`telemetry::install`] and [`metrics::Metrics::install`] make the process observable,
//! 4. [`shutdown::Shutdown::on_signals`] takes over SIGTERM and SIGINT,
//! 5. [`admin::AdminPort::start`] opens the admin port for operators,
//! 6. the process spawns its tasks with [`shutdown::Shutdown::spawn`] and awaits [`shutdown::Shutdown::ended`].

pub mod address;
pub mod admin;
pub mod config;
pub mod exit;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod health;
pub mod listen;
pub mod metrics;
pub mod panics;
pub mod ready_file;
pub mod redact;
pub mod shutdown;
pub mod telemetry;
