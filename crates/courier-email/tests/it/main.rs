//! Tests of the e-mail channel on real servers.

mod bounce_server;
mod bounces;
mod clicks;
mod client;
mod conformance;
mod house;
mod no_dsn;
mod plan;
mod policy;
mod process;
mod relays;
mod scripted;
mod secrecy;
mod served;
mod server;
mod signatures;
mod smuggling;
mod stages;
mod tls;
mod too_fast;
