//! Suppression lists.

use serde::Deserialize;

use super::ApiResponse;

/// An entry of a suppression list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Suppression {
    /// The id for deleting it.
    pub(crate) id: String,
    /// `channel` or `sender`.
    #[serde(default)]
    pub(crate) scope: String,
    /// Whether the address gets no messages; if not, failures are being counted.
    #[serde(default)]
    pub(crate) active: bool,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
    /// The provider's own code.
    #[serde(default)]
    pub(crate) provider_code: Option<u64>,
    /// Where it comes from.
    #[serde(default)]
    pub(crate) source: String,
    /// Since when.
    #[serde(default)]
    pub(crate) created_at: String,
    /// Failures counted.
    #[serde(default)]
    pub(crate) failure_count: u64,
}

/// Suppressions of addresses, in the order of the request.
#[derive(Deserialize)]
pub(crate) struct FoundList {
    /// One per address.
    pub(crate) items: Vec<Found>,
}

/// Suppressions of one address.
#[derive(Deserialize)]
pub(crate) struct Found {
    /// Whether it gets no messages.
    pub(crate) suppressed: bool,
    /// Its entries.
    pub(crate) entries: Vec<ApiResponse<Suppression>>,
}

/// Addresses added to a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct PutCount {
    /// Newly added.
    pub(crate) added_count: u64,
    /// Already on the list.
    pub(crate) unchanged_count: u64,
}

/// Addresses removed from a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct DeletedCount {
    /// Removed.
    pub(crate) deleted_count: u64,
    /// Not on the list.
    pub(crate) not_found_count: u64,
}
