//! Requirements that a server must meet before it is used. Checked at the start and after every reconnection.
//!
//! A setting that would lose messages is refused; one that makes them late or less safe is a warning; what could not
//! be read is reported as unseen.

mod checks;
mod report;

use fred::clients::Client;
use posthaste_model::Durability;

pub use report::{Finding, PreflightReport, Severity};

use crate::error::CallError;
use crate::node::Node;
use crate::settings::Role;

/// How a write is confirmed to be as safe as requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Confirm {
    /// The reply itself is the confirmation.
    Reply,
    /// `WAIT`: this many replicas have it.
    Replicas(u8),
    /// `WAITAOF`: it is on the server's disk, and on the disk of this many replicas.
    Disk(u8),
}

/// The result of the checks.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) report: PreflightReport,
    pub(crate) run_id: String,
    pub(crate) confirm: Confirm,
}

/// Checks the server the client is connected to. An inspector leaves the server's settings unchanged.
pub(crate) async fn look(client: &Client, durability: Durability, role: &Role) -> Result<Found, CallError> {
    let mut report = PreflightReport::default();
    let may_set = *role != Role::Inspector;
    let (run_id, confirm) = checks::look_at(&Node::any(client), durability, may_set, &mut report).await?;
    Ok(Found { report, run_id, confirm })
}
