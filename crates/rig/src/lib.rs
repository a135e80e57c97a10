//! Real parts for tests, drills and benchmarks: private servers, child processes, a fault proxy and a
//! patient way to wait for facts.
//!
//! Everything started here dies with the value that owns it, and with the process that owns the value.
//! Nothing here knows about orders or couriers, so any crate may use it as a dev-dependency.
//!
//! | module | for |
//! |---|---|
//! | [`servers`] | a Redis or Valkey of one's own, killed, frozen and restarted at will |
//! | [`process`] | child processes whose every output line is kept |
//! | [`http`] | a bare HTTP server for stand-ins: hangs, resets, closes and opens again |
//! | [`proxy`] | the network at its worst: latency, cuts, black holes, lost replies, late second copies |
//! | [`resp`] | a bare connection for raw commands |
//! | [`Written`] | what a log told |
//! | [`mod@corpus`] | what fuzzing keeps, given again |
//! | [`mod@eventually`] | waiting for a fact instead of sleeping |

pub mod corpus;
pub mod error;
pub mod eventually;
pub mod http;
pub mod process;
pub mod proxy;
pub mod resp;
pub mod servers;
mod spawner;
mod written;

pub use error::Error;
pub use eventually::{eventually, eventually_async, patience};
pub use process::{Child, Sig};
pub use proxy::Proxy;
pub use resp::{Connection, Reply};
pub use servers::{Fsync, PrivateServer, ServerKind};
pub use written::Written;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
