//! The words of the domain: orders, rows, parcels, outcomes. Pure: no I/O, and [`clock`] is the only place of the whole
//! program that reads the wall clock.

pub mod clock;
pub mod content;
pub mod ids;
pub mod masked;
pub mod order;
pub mod reason;
pub mod segments;
pub mod state;
pub mod transition;

pub use clock::{Clock, SystemClock, UnixMs};
pub use content::Content;
pub use ids::{Channel, CourierId, InvalidId, Member, SenderId, Suffix};
pub use masked::{Address, Text};
pub use order::{Durability, Lane, OnUnknown, PARCEL_ROWS, Row};
pub use reason::Reason;
pub use state::{Counters, State};
pub use transition::{Event, Verdict};
