//! Redis Cluster: which server holds which slot, and which slots are on the move.
//!
//! Every server has a client of its own (see [`crate::primary`]); nothing here follows a redirection by itself, except that a
//! `MOVED` is followed once. `ASK` is never followed: a script asked at the new server while its slot is half there would read keys
//! that have not arrived as missing. A slot that is on the move is held until it has settled.

pub(crate) mod listing;
pub(crate) mod map;
mod refresh;
mod replica;

pub(crate) use listing::{Address, Listed};
pub(crate) use map::Map;
pub(crate) use refresh::{first_look, keep_fresh};
pub(crate) use replica::Replicas;

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;
