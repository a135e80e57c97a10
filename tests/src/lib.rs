//! What whole-process scenarios share: a [`Scene`] with a real server and real couriers, and the [`balance`] that joins what
//! was accepted, what the history says, and what the transport wrote down. A [`Site`] is the whole product, used by its command
//! line. The scenarios live in `it/`, one a file.

pub mod balance;
pub mod death;
pub mod left;
pub mod record;
pub mod scene;
pub mod site;
pub mod told;

pub use balance::Balance;
pub use record::{Record, RowName, Sighting};
pub use scene::Scene;
pub use site::{Said, Site};
pub use told::{CourierOptions, LATE_MS, Told};
