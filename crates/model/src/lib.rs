//! The domain model: orders, deliveries, parcels, outcomes. Pure, without I/O; [`clock`] is the only place in the whole program
//! that reads the wall clock.

pub mod addresses;
pub mod channels;
pub mod clock;
pub mod content;
pub mod email_body;
pub mod ids;
pub mod line;
pub mod masked;
pub mod order;
pub mod provider_code;
pub mod reason;
pub mod segments;
pub mod state;
pub mod text_limit;
pub mod text_parts;
pub mod transition;

pub use channels::{AddressRule, CHANNELS, ChannelDescriptor};
pub use clock::{Clock, SystemClock, UnixMs};
pub use content::Content;
pub use ids::{Channel, CourierId, InvalidId, OrderId, ParcelId, SenderId};
pub use masked::{Address, Text};
pub use order::{Delivery, Durability, OnUnknown, PARCEL_DELIVERIES, Priority};
pub use provider_code::{CodedReason, EnhancedStatus, ProviderCode};
pub use reason::Reason;
pub use state::{Counters, State};
pub use text_limit::TextLimit;
pub use transition::{DeliveryEvent, OutcomeKind};
