//! A Redis or Valkey of one's own: in its own folder, on its own socket, killed, frozen and restarted at will.
//!
//! `RIG_SERVER` chooses the server for a whole test run, so that the same tests run on three of
//! them.

mod builder;
mod cluster;
mod kind;
mod private;

pub use builder::{Builder, Fsync};
pub use cluster::Cluster;
pub use kind::{SERVERS_DIR, ServerKind, TEST_SERVER, servers_dir};
pub use private::PrivateServer;
pub(crate) use private::short_tempdir;
