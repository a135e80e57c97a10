//! The VK channel against a fake VK API.

mod answers;
mod bench;
mod conformance;
mod fake_feedback;
mod inbound;
mod process;
mod provider;
mod repeats;
mod requests;
mod secrecy;
mod starting;
