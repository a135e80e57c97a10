//! The VK channel against a fake VK API.

mod answers;
mod bench;
mod conformance;
mod inbound;
mod process;
mod provider;
mod repeats;
mod requests;
mod secrecy;
mod starting;
