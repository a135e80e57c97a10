//! The sandbox over real sockets.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod client;
mod envelope;
mod faults;
mod hostile;
mod smuggling;
mod takes;
