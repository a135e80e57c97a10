//! Tests of this crate's parts from a caller's view; tests of whole processes are in `tests/process/`.

mod admin;
mod client;
mod config_layers;
mod config_refusals;
mod config_renamed;
mod config_secrets;
mod listen;
mod sample;
