//! The Telegram channel against a fake Bot API.

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
