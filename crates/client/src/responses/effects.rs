//! What a request changed.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Accepted, ApiResponse};
use crate::problem::ApiProblem;

/// An order that was moved to another time.
#[derive(Debug, Clone, Deserialize)]
pub struct MovedOrder {
    /// When it is due now.
    #[serde(default)]
    pub deliver_at: Option<String>,
    /// What moved it from the requested time, such as `quiet_hours`.
    #[serde(default)]
    pub delay_reason: Option<String>,
}

/// The result for one order of a batch.
#[derive(Debug, Clone)]
pub enum BatchResult {
    /// It was accepted.
    Accepted(Box<ApiResponse<Accepted>>),
    /// It was refused.
    Refused(Box<ApiProblem>),
}

impl<'de> Deserialize<'de> for BatchResult {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(from)?;
        let read = match raw.get("problem") {
            Some(problem) => ApiProblem::deserialize(problem).map(|problem| Self::Refused(Box::new(problem))),
            None => ApiResponse::deserialize(raw).map(|accepted| Self::Accepted(Box::new(accepted))),
        };
        read.map_err(serde::de::Error::custom)
    }
}

/// Parked records that are tried again.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ReleasedCount {
    /// How many.
    #[serde(default)]
    pub released_count: u64,
}

/// What became of a parked order that was ended.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct EndedParked {
    /// Deliveries that ended.
    #[serde(default)]
    pub delivery_count: u64,
    /// Whether the whole order was removed.
    #[serde(default)]
    pub removed: bool,
}
