//! What the requests about suppressions share.

use std::sync::Arc;

use posthaste_store::Store;

use crate::intake::settings::Rules;
use crate::offload::Offload;

/// The state of the requests about suppressions.
pub(crate) struct SuppressionsState {
    /// The database.
    pub(crate) store: Store,
    /// The rules of acceptance: addresses are written as in orders.
    pub(crate) rules: Arc<Rules>,
    /// Threads for checking many addresses.
    pub(crate) offload: Offload,
}
