//! What every process needs: configuration, telemetry, health and metrics port, two-stage stop, exit codes.
//!
//! This crate knows no domain: it holds nothing of messages, channels or Redis, and depends on none of our crates.
//! The order in a `main` is always the same:
//!
//! 1. [`exit::run`] makes the runtime and turns the end into an exit code,
//! 2. [`config::Sources`] gives the settings, or refuses them before anything is opened,
//! 3. [`telemetry::install`] and [`metrics::Metrics::install`] make the process observable,
//! 4. [`stop::Stop::on_signals`] takes over SIGTERM and SIGINT,
//! 5. [`admin::Admin::start`] opens the port for whoever runs the process,
//! 6. the process spawns its tasks with [`stop::Stop::spawn`] and awaits [`stop::Stop::ended`].

pub mod address;
pub mod admin;
pub mod config;
pub mod exit;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod health;
pub mod listen;
pub mod mask;
pub mod metrics;
pub mod panics;
pub mod stop;
pub mod telemetry;
