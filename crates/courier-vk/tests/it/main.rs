//! The VK channel against a stand-in for its API.

mod bench;
mod conformance;
mod provider;
