//! The VK channel against a stand-in for its API.

mod answers;
mod bench;
mod conformance;
mod provider;
mod repeats;
mod requests;
mod starting;
