//! Redis Cluster: which server holds which slot, and which slots are being moved.
//!
//! Every server has its own client (see [`crate::primary`]). Redirections are not followed automatically, except that
//! a `MOVED` is followed once. `ASK` is never followed: a script called at the new server while its slot has only
//! partly arrived would take keys that have not arrived for missing. A slot that is being moved is held until it has
//! settled.

pub(crate) mod listing;
pub(crate) mod map;
pub(crate) mod moved;
pub(crate) mod refresh;
pub(crate) mod replica;

pub(crate) use listing::NodeAddress;
pub(crate) use map::Map;
