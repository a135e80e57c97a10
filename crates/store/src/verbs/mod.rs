//! The verbs, grouped by who uses them.

mod courier;
mod lists;
mod load;
mod order;
mod orders;
mod sweeper;

pub use courier::ClaimAsk;
pub use load::Loaded;
pub(crate) use load::malformed;
pub use order::OrderView;
