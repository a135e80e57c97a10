//! Redis Cluster: which server holds which slot, and which slots are being moved.
//!
//! Every server has its own client (see [`crate::primary`]). Redirections are not followed automatically, except that
//! a `MOVED` is followed once. `ASK` is never followed: a script called at the new server while its slot has only
//! partly arrived would take keys that have not arrived for missing. A slot that is being moved is held until it has
//! settled.

pub(crate) mod listing;
pub(crate) mod map;
mod refresh;
mod replica;

pub(crate) use listing::{Listed, NodeAddress};
pub(crate) use map::Map;
pub(crate) use refresh::{first_look, keep_fresh};
pub(crate) use replica::Replicas;

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;
