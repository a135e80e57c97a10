//! What whole-process scenarios share: a [`Scene`] with a real server and real couriers, and the [`balance`] that joins what
//! was accepted, what the history says, and what the transport wrote down. The scenarios live in `it/`, one a file.

pub mod balance;
pub mod record;
pub mod scene;

pub use balance::{Balance, check};
pub use record::{Record, Sighting};
pub use scene::{CourierOptions, Scene};
