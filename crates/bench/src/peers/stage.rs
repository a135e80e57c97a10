//! What one measurement runs on: a private server and an nginx, both new.

use anyhow::Context;
use posthaste_rig::servers::{Fsync, PrivateServer};

use super::nginx::Nginx;
use super::processes::{Used, used};
use crate::service::Site;

/// A private server and an nginx.
pub(super) struct Stage {
    pub(super) site: Site,
    pub(super) nginx: Nginx,
}

impl Stage {
    pub(super) async fn new(fsync: Fsync) -> anyhow::Result<Self> {
        let server = PrivateServer::builder().fsync(fsync).start()?;
        Ok(Self { site: Site::new(server)?, nginx: Nginx::start().await? })
    }

    /// The path of the server's socket.
    pub(super) fn socket(&self) -> String {
        self.site.server.socket().display().to_string()
    }

    /// Bytes of data the server holds.
    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        let info = self.site.server.info("memory")?;
        Ok(info.get("used_memory").context("used_memory")?.parse()?)
    }

    /// What the server has used, without processes that rewrite its file.
    pub(super) fn server(&self) -> anyhow::Result<Used> {
        used(self.site.server.pid().context("the server runs")?)
    }
}
