//! Suppression lists.

use serde::Deserialize;

use super::Told;

/// An entry of a suppression list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Suppression {
    /// What it is lifted by.
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
    /// Who said so.
    #[serde(default)]
    pub(crate) source: String,
    /// Since when.
    #[serde(default)]
    pub(crate) since: String,
    /// Strikes counted.
    #[serde(default)]
    pub(crate) strikes: u64,
}

/// What is known of addresses, in the order they were asked for.
#[derive(Deserialize)]
pub(crate) struct FoundList {
    /// One an address.
    pub(crate) items: Vec<Found>,
}

/// What is known of one address.
#[derive(Deserialize)]
pub(crate) struct Found {
    /// Whether it gets nothing.
    pub(crate) suppressed: bool,
    /// Its entries.
    pub(crate) entries: Vec<Told<Suppression>>,
}

/// Addresses that were put on a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct PutCount {
    /// Newly.
    pub(crate) added: u64,
    /// There before.
    pub(crate) unchanged: u64,
}

/// Addresses that were taken off a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct LiftedCount {
    /// Taken off.
    pub(crate) lifted: u64,
    /// Not there.
    pub(crate) not_there: u64,
}
