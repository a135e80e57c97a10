//! The courier on private servers: the engine, what runs beside it, and the suite for channels.

mod batching;
mod begin_bound;
mod conformance_broken;
mod conformance_passes;
mod flaws;
mod health_and_metrics;
mod house;
mod lanes;
mod leases;
mod lost_answers;
mod memory;
mod pace;
mod parts;
mod resolver;
mod rest;
mod retries;
mod script;
mod settings;
mod stop;
mod stopped_channel;
mod sweeper;
mod throttled;
mod tokens;
mod unreadable;
mod wiped;
