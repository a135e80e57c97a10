//! Tests of the e-mail channel on real servers.

mod conformance;
mod house;
mod process;
mod relays;
mod server;
mod smuggling;
mod stages;
mod tls;
