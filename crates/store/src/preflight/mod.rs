//! What must be true of a server before messages are given to it. Asked at the start and after every reconnection.
//!
//! What would lose messages is refused; what makes them late or less safe is a warning; what could not be seen is said.

mod checks;
mod report;

use fred::clients::Client;
use posthaste_model::Durability;

pub use report::{Level, Line, Report};

use crate::error::CallError;
use crate::node::Node;
use crate::settings::Role;

/// How it is made sure that something is as safe as was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Confirm {
    /// The reply itself says so.
    Reply,
    /// `WAIT`: so many replicas have it.
    Replicas(u8),
    /// `WAITAOF`: it is on the server's disk, and on that of so many replicas.
    Disk(u8),
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) report: Report,
    pub(crate) run_id: String,
    pub(crate) confirm: Confirm,
}

/// Looks at the server the client is connected to. One who only looks leaves the server's settings as they are.
pub(crate) async fn look(client: &Client, durability: Durability, role: &Role) -> Result<Found, CallError> {
    let mut report = Report::default();
    let may_set = *role != Role::Inspector;
    let (run_id, confirm) = checks::look_at(&Node::any(client), durability, may_set, &mut report).await?;
    Ok(Found { report, run_id, confirm })
}
