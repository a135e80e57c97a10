//! The verbs, grouped by who uses them.

mod courier;
mod lists;
mod load;
mod order;
mod sweeper;

pub use courier::ClaimAsk;
pub use load::Loaded;
pub use order::OrderView;
