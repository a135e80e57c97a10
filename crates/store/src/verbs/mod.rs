//! The verbs, grouped by who uses them.

mod consent;
mod courier;
mod couriers;
mod glance;
mod keys;
mod limits;
mod listing;
mod lists;
mod load;
mod names;
mod order;
mod order_cursor;
mod order_walk;
mod orders;
mod parked;
mod parked_cursor;
mod quota;
mod recipients;
mod suppressions;
mod sweeper;
mod waits;

pub use consent::{Notice, Said};
pub use courier::ClaimAsk;
pub use couriers::CourierSeen;
pub use glance::Glance;
pub use listing::OrderPage;
pub use load::Loaded;
pub(crate) use load::malformed;
pub use order::OrderView;
pub use order_cursor::{OrderCursor, OrderFilter};
pub use parked::{ParkedEntry, ParkedFailed, ParkedPage};
pub use parked_cursor::ParkedCursor;
pub use quota::QuotaAsk;
pub use recipients::{InvalidCursor, ListedRow, RowCursor, RowFilter, RowPage, UnreadableRows};
pub use suppressions::{Suppress, Suppression, SuppressionCursor, SuppressionPage};
pub use waits::WaitsFor;
