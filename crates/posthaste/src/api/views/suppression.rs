//! Suppression lists.

use serde::Deserialize;

use super::ApiResponse;

/// An entry of a suppression list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Suppression {
    /// The id for lifting it.
    pub(crate) id: String,
    /// `channel` or `sender`.
    #[serde(default)]
    pub(crate) list: String,
    /// `active` or `striking`.
    #[serde(default)]
    pub(crate) state: String,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
    /// The provider's code, if that is the reason.
    #[serde(default)]
    pub(crate) provider_code: Option<u16>,
    /// Where it comes from.
    #[serde(default)]
    pub(crate) source: String,
    /// Since when.
    #[serde(default)]
    pub(crate) since: String,
    /// Strikes counted.
    #[serde(default)]
    pub(crate) strikes: u64,
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
    pub(crate) added: u64,
    /// Already on the list.
    pub(crate) unchanged: u64,
}

/// Addresses removed from a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct LiftedCount {
    /// Removed.
    pub(crate) lifted: u64,
    /// Not on the list.
    pub(crate) not_there: u64,
}
