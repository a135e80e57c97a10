//! Parked records, which can't be read.

use serde::Deserialize;

use super::ApiResponse;

/// An order, or a parcel of one, that can't be read.
#[derive(Debug, Clone, Deserialize)]
pub struct Parked {
    /// The order.
    pub order_id: String,
    /// The channel of a parcel.
    #[serde(default)]
    pub channel: Option<String>,
    /// The number of the parcel.
    #[serde(default)]
    pub parcel: Option<u64>,
    /// What can't be read.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was parked.
    #[serde(default)]
    pub parked_at: String,
}

/// The parked parts of one order.
#[derive(Debug, Clone, Deserialize)]
pub struct ParkedOrder {
    /// The order itself, or its parcels.
    pub items: Vec<ApiResponse<Parked>>,
}
