//! What stands between the network and the handlers: identification of requests, limits, bodies in time, metrics.

pub mod body;
pub(crate) mod guard;
pub mod strict;
pub mod trace;
