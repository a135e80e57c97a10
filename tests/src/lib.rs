//! Shared by the whole-process scenarios: a [`Scene`] with a real server and real couriers, and the [`balance`] that
//! joins the accepted orders, the histories, and the records of the transports. A [`Site`] is the whole product, used
//! through its command line. The scenarios are in `it/`, one per file.

pub mod balance;
pub mod death;
pub mod left;
pub mod options;
pub mod record;
pub mod scene;
pub mod site;

pub use balance::Balance;
pub use options::{CourierOptions, LATE_MS, OrderSpec};
pub use record::{DeliveryName, Record, Sighting};
pub use scene::Scene;
pub use site::{CommandOutput, Site};
