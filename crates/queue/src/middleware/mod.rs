//! Layers between the network and the handlers: trace ids, limits, body deadlines, metrics.

pub mod body;
pub(crate) mod guard;
pub mod strict;
pub mod trace;
