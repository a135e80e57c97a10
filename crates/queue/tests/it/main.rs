//! The service over real HTTP, on a private server.

mod client;
mod service;

mod access;
mod away;
mod description;
mod hostile;
mod key_life;
mod patience;
mod reading;
mod secrets;
mod stopping;
mod trackers;
