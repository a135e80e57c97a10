//! The Telegram channel against a stand-in for the Bot API.

mod bench;
mod bots;
mod conformance;
mod parts;
mod process;
mod provider;
mod requests;
mod secrecy;
mod starting;
mod updates;
mod waits;
