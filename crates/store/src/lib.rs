//! The only crate that talks to Redis or Valkey. It has a function for every verb of the protocol, connections that
//! repair themselves, and errors named by what the caller does next.
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
//! Rules for every call: one attempt (the caller decides whether to repeat it), a request id that the reply must
//! repeat, a time limit, and a check of the database's epoch and fence.

mod accept;
mod address_key;
mod call;
mod cause;
mod cluster;
mod command;
mod confirm;
mod confirmer;
mod connect;
mod connect_when_ready;
mod content_cache;
mod endpoint;
mod epoch;
mod epoch_guard;
mod error;
mod examine;
mod first_calls;
mod halt_record;
mod halted;
mod inner;
mod link;
mod links;
mod listeners;
mod marks;
mod memory_guard;
mod missing;
mod order_watch;
mod pool;
pub mod preflight;
mod primaries;
mod primary;
mod reader;
mod recover;
mod redis_state;
mod register;
mod reply;
mod requests;
mod retryable;
mod rollbacks;
mod routes;
mod routing;
mod script;
mod server_runs;
mod settings;
mod slot;
mod store;
mod supervise;
mod text_set;
mod trouble;
mod unreadable;
mod verbs;
mod wakeups;
mod watchdog;

pub use accept::{
    AcceptError, AcceptedChannel, AcceptedOrder, NewOrder, NewOrderHead, NothingStored, OrderWriter,
    RetriedOrder, RetryRequest,
};
pub use endpoint::{TypedUrlError, check_typed_url};
pub use error::{CallError, ClientError, ConnectError, FatalReason, InvalidReply, NoReplyCause};
pub use examine::examine;
pub use halted::HaltState;
pub use link::Link;
pub use missing::MissingPartitions;
pub use order_watch::OrderWatch;
pub use recover::{Assume, InDoubt, Recovery};
pub use redis_state::{RedisState, Work};
pub use retryable::Retryable;
pub use rollbacks::Rollback;
pub use settings::{Role, Settings};
pub use store::Store;
pub use text_set::TextSet;
pub use trouble::{LOG_EVERY, ServerTrouble, ServerTroubles};
pub use unreadable::UnreadableRecord;
pub use verbs::{
    Backlog, ChannelState, ClaimRequest, ConsentNotice, CourierPresence, DeliveryCursor, DeliveryFilter,
    DeliveryPage, InvalidCursor, ListedDelivery, LoadedParcel, NoticeMoment, OrderCursor, OrderFilter,
    OrderListPage, OrderRecord, OrderSummary, OwnReport, ParkedCursor, ParkedEntry, ParkedFailed, ParkedPage,
    QuotaRequest, Suppress, SuppressionCursor, SuppressionEntry, SuppressionPage, UnreadableParcelPart,
    WaitingFor,
};
pub use wakeups::{WakeupEvent, WakeupListener};

pub use posthaste_protocol::Malformed;
pub use posthaste_protocol::ScriptAnswer;
pub use posthaste_protocol::record::{
    DeliveryRecord, DeliveryRecords, Head, Inline, KeyId, KeyRecord, KeyScope, KeyScopes, NewKey, SecretHash,
    SendAs, SuppressionId, SuppressionSource,
};
pub use posthaste_protocol::scripts::apply_receipt::ReceiptStatus;
pub use posthaste_protocol::scripts::begin::DeliveryBegun;
pub use posthaste_protocol::scripts::bind_idempotency_key::BoundIdempotencyKey;
pub use posthaste_protocol::scripts::cancel::Cancelled;
pub use posthaste_protocol::scripts::claim::{ClaimReply, ClaimedParcel, ClaimedParcels};
pub use posthaste_protocol::scripts::claim_unresolved::UnresolvedParcels;
pub use posthaste_protocol::scripts::create_key::KeyCreated;
pub use posthaste_protocol::scripts::expire_parcels::{ExpiredParcels, Index};
pub use posthaste_protocol::scripts::halt::HaltCause;
pub use posthaste_protocol::scripts::limit_rate::RateDecision;
pub use posthaste_protocol::scripts::limit_sms::{Quota, QuotaStep, SmsLimits as QuotaLimits};
pub use posthaste_protocol::scripts::park::ToPark;
pub use posthaste_protocol::scripts::promote_due::Promoted;
pub use posthaste_protocol::scripts::purge_orders::PurgedOrders;
pub use posthaste_protocol::scripts::reclaim_leases::ReclaimedLeases;
pub use posthaste_protocol::scripts::renew::Renewed;
pub use posthaste_protocol::scripts::repair_indexes::RepairedIndexes;
pub use posthaste_protocol::scripts::report_courier::{CourierReport, CourierState};
pub use posthaste_protocol::scripts::reschedule::Rescheduled;
pub use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolved};
pub use posthaste_protocol::scripts::revoke_key::KeyRevoked;
pub use posthaste_protocol::scripts::scan_orders::ScannedOrders;
pub use posthaste_protocol::scripts::settle::{AttemptReport, Reported, Settled, Settlement};
pub use posthaste_protocol::scripts::suppress::Suppressed;
pub use posthaste_protocol::scripts::take_daily_places::{DailyPlace, DailyPlaces};
pub use posthaste_protocol::scripts::unstage_parcels::Unstaged;
pub use posthaste_protocol::scripts::{ParcelCode, ParcelRef, ParkedName};
