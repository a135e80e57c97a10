//! The VK channel against a fake VK API.

mod bench;
mod conformance;
mod inbound;
mod process;
mod provider;
mod repeats;
mod requests;
mod response_rules;
mod secrecy;
mod starting;
