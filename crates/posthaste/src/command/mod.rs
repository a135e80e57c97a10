//! The commands, one file each.

pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod courier;
pub(crate) mod doctor;
pub(crate) mod healthcheck;
pub(crate) mod key;
pub(crate) mod order;
pub(crate) mod outbox;
pub(crate) mod parked;
pub(crate) mod recover;
pub(crate) mod send;
pub(crate) mod suppression;
