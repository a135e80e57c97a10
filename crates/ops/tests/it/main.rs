//! The tests of this crate's parts as a caller sees them; what belongs to a whole process is in `tests/process.rs`.

mod admin;
mod client;
mod config_layers;
mod config_refusals;
mod config_secrets;
mod listen;
mod sample;
