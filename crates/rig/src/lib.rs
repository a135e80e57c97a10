//! Real components for tests, drills and benchmarks: private servers, child processes, a fault proxy and a
//! way to wait for conditions.
//!
//! Everything started here ends with the value that owns it, and with the process that owns the value.
//! Nothing here knows about orders or couriers, so any crate may use it as a dev-dependency.
//!
//! | module | for |
//! |---|---|
//! | [`servers`] | a private Redis or Valkey that can be killed, frozen and restarted |
//! | [`process`] | child processes whose every output line is kept |
//! | [`program`] | a program as an operator runs it: ready file, stop, refused settings |
//! | [`http`] | a bare HTTP server for fake providers: hangs, resets, closes and reopens |
//! | [`fake_provider`] | the same with a record of all requests, for tests of channels |
//! | [`unix_http`] | raw requests to a server on a Unix socket |
//! | [`proxy`] | network faults: latency, cuts, black holes, lost replies, late second copies |
//! | [`resp`] | a bare connection for raw commands |
//! | [`CapturedLogs`] | the content of a log |
//! | [`mod@corpus`] | replaying the fuzzing corpus |
//! | [`mod@eventually`] | waiting for a condition instead of sleeping |

mod captured_logs;
pub mod corpus;
pub mod error;
pub mod eventually;
pub mod fake_provider;
pub mod http;
pub mod process;
pub mod program;
pub mod proxy;
pub mod resp;
pub mod servers;
mod spawner;
pub mod unix_http;

pub use captured_logs::CapturedLogs;
pub use error::Error;
pub use eventually::{eventually, eventually_async, patience};
pub use fake_provider::{FakeProvider, ProviderApi};
pub use process::{Child, Sig};
pub use program::ProgramUnderTest;
pub use proxy::Proxy;
pub use resp::{Connection, RespReply};
pub use servers::{Fsync, PrivateServer, ServerKind};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
