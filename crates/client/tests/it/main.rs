//! The client against a local HTTP server.

mod errors;
mod orders;
mod other;
mod server;
mod streams;
