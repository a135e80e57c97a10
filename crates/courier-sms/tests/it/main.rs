//! The SMS channel with fake providers.

mod bench;
mod callbacks;
mod conformance;
mod gateway;
mod inbound;
mod inquiries;
mod policy;
mod process;
mod provider;
mod requests;
mod secrecy;
mod starting;
mod waits;
