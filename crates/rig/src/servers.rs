//! A private Redis or Valkey: in its own folder, on its own socket, to be killed, frozen and restarted at will.
//!
//! `RIG_SERVER` selects the server for a whole test run, so that the same tests run on three of
//! them.

mod builder;
mod cluster;
mod kind;
mod private;
mod sentinels;

use crate::eventually::patience;
use crate::{Error, Result};

pub use builder::{Builder, Fsync};
pub use cluster::Cluster;
pub use kind::{SERVERS_DIR, ServerKind, TEST_SERVER, servers_dir};
pub use private::PrivateServer;
pub(crate) use private::short_tempdir;
pub use sentinels::Sentinels;

/// Repeats until it succeeds; after the timeout, reports what was seen instead.
fn until<T>(what: &str, mut is_so: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = std::time::Instant::now();
    loop {
        let seen = match is_so() {
            Ok(found) => return Ok(found),
            Err(error) => error.to_string(),
        };
        if begun.elapsed() >= patience() {
            return Err(Error::TooLate { what: what.to_owned(), waited: patience(), seen });
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
