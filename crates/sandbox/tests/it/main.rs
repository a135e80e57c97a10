//! The sandbox over real sockets.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod channels;
mod client;
mod encrypted;
mod envelope;
mod faults;
mod hostile;
mod outbox;
mod people;
mod process;
mod smuggling;
mod takes;
