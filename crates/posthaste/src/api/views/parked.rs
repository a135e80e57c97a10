//! Parked records, which can't be read.

use serde::Deserialize;

use super::ApiResponse;

/// An order, or a parcel of one, that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Parked {
    /// The order.
    pub(crate) order_id: String,
    /// The channel of a parcel.
    #[serde(default)]
    pub(crate) channel: Option<String>,
    /// The number of the parcel.
    #[serde(default)]
    pub(crate) parcel: Option<u64>,
    /// What can't be read.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// When it was parked.
    #[serde(default)]
    pub(crate) parked_at: String,
}

/// The parked parts of one order.
#[derive(Deserialize)]
pub(crate) struct ParkedOrder {
    /// The order itself, or its parcels.
    pub(crate) items: Vec<ApiResponse<Parked>>,
}
