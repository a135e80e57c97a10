//! Packed records: what scripts read by position and this program reads by name.

pub mod consent;
pub mod content;
pub mod head;
pub mod key;
pub mod outcome;
pub mod parcel;
pub mod send_as;
pub mod suppression;

pub use consent::{Notice, NoticeId, Said};
pub use content::{decode_content, encode_content};
pub use head::{Head, decode_counters};
pub use key::{KeyId, KeyRecord, NewKey, Scope, Scopes, SecretHash};
pub use outcome::{Outcomes, RowOutcome};
pub use parcel::{Inline, decode_parcel, encode_parcel};
pub use send_as::SendAs;
pub use suppression::{AddressKey, Source, Standing, SuppressionId, SuppressionRecord};
