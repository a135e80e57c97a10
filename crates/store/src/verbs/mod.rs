//! The verbs, grouped by who uses them.

mod courier;
mod couriers;
mod glance;
mod keys;
mod limits;
mod lists;
mod load;
mod order;
mod orders;
mod sweeper;

pub use courier::ClaimAsk;
pub use couriers::CourierSeen;
pub use glance::Glance;
pub use load::Loaded;
pub(crate) use load::malformed;
pub use order::OrderView;
