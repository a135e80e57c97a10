//! The VK channel against a stand-in for its API.

mod answers;
mod bench;
mod conformance;
mod desk;
mod inbound;
mod process;
mod provider;
mod repeats;
mod requests;
mod secrecy;
mod starting;
