//! The webhook channel against receivers on this computer.

mod bench;
mod conformance;
mod guard;
mod outcomes;
mod process;
mod receiver;
mod secrecy;
