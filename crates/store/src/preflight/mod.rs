//! Requirements that a server must meet before it is used. Checked at the start and after every reconnection.
//!
//! A setting that would lose messages is refused; one that makes them late or less safe is a warning; what could not
//! be read is reported as unseen.

mod checks;
pub(crate) mod report;

use fred::clients::Client;
use posthaste_model::Durability;

pub(crate) use checks::Confirm;
pub use report::{Finding, PreflightReport, Severity};

use crate::error::CallError;
use crate::settings::Role;

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
    let (run_id, confirm) = checks::look_at(client, durability, may_set, &mut report).await?;
    Ok(Found { report, run_id, confirm })
}
