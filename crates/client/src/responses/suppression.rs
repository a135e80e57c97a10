//! Suppression lists.

use serde::Deserialize;

use super::ApiResponse;

/// An entry of a suppression list.
#[derive(Debug, Clone, Deserialize)]
pub struct Suppression {
    /// The id for deleting it.
    pub id: String,
    /// `channel` or `sender`.
    #[serde(default)]
    pub scope: String,
    /// Whether the address gets no messages; if not, failures are being counted.
    #[serde(default)]
    pub active: bool,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The provider's own code.
    #[serde(default)]
    pub provider_code: Option<u64>,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// Since when.
    #[serde(default)]
    pub created_at: String,
    /// Failures counted.
    #[serde(default)]
    pub failure_count: u64,
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
    pub added_count: u64,
    /// Already on the list.
    pub unchanged_count: u64,
}

/// Addresses removed from a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct DeletedCount {
    /// Removed.
    pub deleted_count: u64,
    /// Not on the list.
    pub not_found_count: u64,
}
