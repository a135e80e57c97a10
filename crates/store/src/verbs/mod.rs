//! The verbs, grouped by their users.

mod aliases;
mod consent;
mod courier;
mod courier_reports;
mod couriers;
mod housekeeping;
mod keys;
mod limits;
mod listing;
mod lists;
mod load;
mod order;
mod order_cursor;
mod order_summary;
mod order_walk;
mod orders;
mod parked;
mod parked_cursor;
mod quota;
mod reach;
mod recipients;
mod suppressions;
mod waiting_for;
mod watch;

pub use consent::{ConsentNotice, NoticeMoment};
pub use courier::ClaimRequest;
pub use courier_reports::{Backlog, OwnReport};
pub use couriers::{ChannelState, CourierPresence};
pub use listing::OrderListPage;
pub use load::LoadedParcel;
pub use order::OrderRecord;
pub use order_cursor::{OrderCursor, OrderFilter};
pub use order_summary::OrderSummary;
pub use parked::{ParkedEntry, ParkedFailed, ParkedPage};
pub use parked_cursor::ParkedCursor;
pub use quota::QuotaRequest;
pub use recipients::{
    DeliveryCursor, DeliveryFilter, DeliveryPage, InvalidCursor, ListedDelivery, UnreadableParcelPart,
};
pub use suppressions::{Suppress, SuppressionCursor, SuppressionEntry, SuppressionPage};
pub use waiting_for::WaitingFor;
