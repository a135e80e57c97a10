//! What the requests that read share.

use std::sync::Arc;

use posthaste_store::Store;

use crate::auth::KeyWatch;
use crate::channel_watch::Backlogs;
use crate::intake::DailyLimits;
use crate::intake::settings::Rules;
use crate::receipt_channels::Receipts;

/// The state of the requests that read.
pub(crate) struct ReadState {
    /// The database.
    pub(crate) store: Store,
    /// The rules by which orders were accepted.
    pub(crate) rules: Arc<Rules>,
    /// Orders per day of each sender.
    pub(crate) daily_limits: DailyLimits,
    /// What couriers reported about receipts.
    pub(crate) receipts: Receipts,
    /// What waits on each channel.
    pub(crate) backlogs: Backlogs,
    /// Keys of open requests.
    pub(crate) key_watch: Arc<KeyWatch>,
}
