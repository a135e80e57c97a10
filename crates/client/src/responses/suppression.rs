//! Suppression lists.

use serde::Deserialize;

use super::ApiResponse;

/// An entry of a suppression list.
#[derive(Debug, Clone, Deserialize)]
pub struct Suppression {
    /// The id for lifting it.
    pub id: String,
    /// `channel` or `sender`.
    #[serde(default)]
    pub list: String,
    /// `active` or `striking`.
    #[serde(default)]
    pub state: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// Since when.
    #[serde(default)]
    pub since: String,
    /// Strikes counted.
    #[serde(default)]
    pub strikes: u64,
}

/// Suppressions of addresses, in the order of the request.
#[derive(Debug, Clone, Deserialize)]
pub struct FoundList {
    /// One per address.
    pub items: Vec<Found>,
}

/// Suppressions of one address.
#[derive(Debug, Clone, Deserialize)]
pub struct Found {
    /// Whether it gets no messages.
    pub suppressed: bool,
    /// Its entries.
    pub entries: Vec<ApiResponse<Suppression>>,
}

/// Addresses added to a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct PutCount {
    /// Newly added.
    pub added: u64,
    /// Already on the list.
    pub unchanged: u64,
}

/// Addresses removed from a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct LiftedCount {
    /// Removed.
    pub lifted: u64,
    /// Not on the list.
    pub not_there: u64,
}
