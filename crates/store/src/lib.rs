//! The only crate that talks to Redis or Valkey: every verb of the protocol as a function, over connections that mend
//! themselves, with errors named by what the caller does next.
//!
//! ```no_run
//! use posthaste_store::{Role, Settings, Store};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (store, report) = Store::connect(Settings::default(), Role::Tool).await?;
//! println!("{report}");
//! for (channel, seen) in store.channels(0).await? {
//!     println!("{channel}: a courier was last seen at {}", seen.0);
//! }
//! store.disconnect().await;
//! # Ok(())
//! # }
//! ```
//!
//! Rules every call keeps: one attempt (a repeat is the caller's, who knows what it means), a request id that the reply
//! must repeat, a time limit, the epoch and fence of the database watched.
//!
//! | metric | tells |
//! |---|---|
//! | `posthaste_store_call_seconds{script}` | how long answered calls took |
//! | `posthaste_store_faults_total{script}` | replies that could not be used |
//! | `posthaste_store_connection_losses_total` | how often there was no connection left |
//! | `posthaste_store_hearing_gaps_total` | events dropped because they came too fast |
//! | `posthaste_store_watching_gaps_total` | the same of watched histories |
//! | `posthaste_store_unconfirmed_total` | waits for disk or replica that were not met |
//! | `posthaste_store_node_up{node}` | 1 while there is a checked connection to this primary; 0 also once it is none any more |
//! | `posthaste_store_partitions_away` | of a cluster: partitions that can't be asked now |
//! | `posthaste_store_halted` | 1 while sending is stopped because the database went back or was wiped |
//! | `posthaste_store_went_back_seconds` | by about how much it went back |
//! | `posthaste_store_rollbacks_total{outcome}` | roll-backs noticed: `halted`, or `continued` since nothing confirmed was lost |
//! | `posthaste_store_stops_total` | databases that were not the one they had been |
//! | `posthaste_redis_state{state,node}` | 1 while a server is away, full, read-only, loading, slow, … |
//! | `posthaste_redis_refused_calls_total{state}` | calls that failed because of that |

mod accept;
mod address_key;
mod call;
mod cause;
mod cluster;
mod confirm;
mod contents;
mod endpoint;
mod epoch;
mod error;
mod examine;
mod gate;
mod guard;
mod halted;
mod hearing;
mod link;
mod lookout;
mod marks;
mod missing;
mod node;
mod pool;
pub mod preflight;
mod primary;
mod recover;
mod register;
mod reply;
mod rollbacks;
mod routes;
mod routing;
mod settings;
mod store;
mod supervise;
mod trouble;
mod unreadable;
mod verbs;
mod watching;

pub use accept::{
    AcceptError, Accepted, AcceptedChannel, NewOrder, NewOrderHead, NothingStored, OrderWriter, RetryAsk,
};
pub use endpoint::{TypedUrlError, check_typed_url};
pub use error::{CallError, ClientError, ConnectError, Fault, Later, Lost, StopWhy, Unreadable};
pub use examine::examine;
pub use halted::Halt;
pub use hearing::{Hearing, HearingEvent};
pub use link::Link;
pub use missing::Missing;
pub use recover::{Assume, InDoubt, Recovery};
pub use rollbacks::Rollback;
pub use settings::{Role, Settings};
pub use store::Store;
pub use trouble::{RedisState, TOLD_EVERY, Trouble, Troubles, Work};
pub use verbs::{
    ClaimAsk, CourierSeen, Glance, InvalidCursor, ListedRow, Loaded, Notice, OrderCursor, OrderFilter,
    OrderPage, OrderView, ParkedCursor, ParkedEntry, ParkedFailed, ParkedPage, QuotaAsk, RowCursor,
    RowFilter, RowPage, Said, Suppress, Suppression, SuppressionCursor, SuppressionPage, UnreadableRows,
    WaitsFor,
};
pub use watching::HistoryWatch;

pub use posthaste_protocol::Answer;
pub use posthaste_protocol::Malformed;
pub use posthaste_protocol::record::{
    Head, Inline, KeyId, KeyRecord, NewKey, Outcomes, RowOutcome, Scope, Scopes, SecretHash, SendAs, Source,
    SuppressionId,
};
pub use posthaste_protocol::scripts::audit::Audited;
pub use posthaste_protocol::scripts::begin::RowBegun;
pub use posthaste_protocol::scripts::bind::Bound;
pub use posthaste_protocol::scripts::cancel::Cancelled;
pub use posthaste_protocol::scripts::claim::{Claimed, Reply as ClaimReply, Taken};
pub use posthaste_protocol::scripts::close::{Closed, Index};
pub use posthaste_protocol::scripts::create_key::KeyCreated;
pub use posthaste_protocol::scripts::halt::HaltCause;
pub use posthaste_protocol::scripts::inquire::Inquiry;
pub use posthaste_protocol::scripts::park::ToPark;
pub use posthaste_protocol::scripts::patrol::Patrolled;
pub use posthaste_protocol::scripts::quota::{Limits as QuotaLimits, Quota, Share};
pub use posthaste_protocol::scripts::rate::Rated;
pub use posthaste_protocol::scripts::receipt::Word;
pub use posthaste_protocol::scripts::renew::Renewed;
pub use posthaste_protocol::scripts::reschedule::Rescheduled;
pub use posthaste_protocol::scripts::reserve::{Place, Reserved};
pub use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolved};
pub use posthaste_protocol::scripts::retire::Retired;
pub use posthaste_protocol::scripts::revoke_key::KeyRevoked;
pub use posthaste_protocol::scripts::ring::Rung;
pub use posthaste_protocol::scripts::settle::{Report, Reported, Settled, Settlement};
pub use posthaste_protocol::scripts::suppress::Suppressed;
pub use posthaste_protocol::scripts::sweep::Swept;
pub use posthaste_protocol::scripts::unstage::Unstaged;
pub use posthaste_protocol::scripts::{ParcelCode, ParcelRef, ParkedName};
