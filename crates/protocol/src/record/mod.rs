//! Packed records, which scripts read by position and this program reads by name.

pub mod consent;
pub mod content;
pub mod delivery;
pub mod head;
pub mod key;
pub mod parcel;
pub mod send_as;
pub mod suppression;

pub use consent::{Notice, NoticeId, NoticeTime};
pub use content::{decode_content, encode_content};
pub use delivery::{DeliveryRecord, DeliveryRecords};
pub use head::{Head, decode_counters};
pub use key::{KeyId, KeyRecord, KeyScope, KeyScopes, NewKey, SecretHash};
pub use parcel::{Inline, decode_parcel, encode_parcel};
pub use send_as::SendAs;
pub use suppression::{AddressKey, SuppressionId, SuppressionRecord, SuppressionSource, SuppressionStatus};
