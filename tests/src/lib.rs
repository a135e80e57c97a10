//! What whole-process scenarios share: a [`Scene`] with a real server and real couriers, and the [`balance`] that joins what
//! was accepted, what the history says, and what the transport wrote down. The scenarios live in `it/`, one a file.

pub mod balance;
pub mod death;
pub mod left;
pub mod record;
pub mod scene;
pub mod told;

pub use balance::Balance;
pub use record::{Record, RowName, Sighting};
pub use scene::Scene;
pub use told::{CourierOptions, Told};
