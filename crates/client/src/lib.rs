//! The typed client of the queue's HTTP API: orders, deliveries, events, suppressions, API keys, couriers, parked records
//! and daily limits.
//!
//! A [`Client`] belongs to one queue and one API key. Fields of a response that callers use are typed; an
//! [`ApiResponse`] keeps the others too. Errors are named by what the caller does next: see [`ApiError`]. Nothing is
//! repeated by itself except reading: a lost event stream continues where it was lost. A request that stores something
//! has an idempotency key, so that the caller can repeat it without doing it twice.
//!
//! ```no_run
//! use posthaste_client::{Client, ClientOptions, OrderRequest, Submission, fresh_idempotency_key};
//! use posthaste_model::Text;
//!
//! # async fn example(options: ClientOptions) -> Result<(), posthaste_client::ApiError> {
//! let client = Client::new(options)?;
//! let order = OrderRequest { text: Some(Text::new("The school is closed today.")), ..OrderRequest::default() };
//! let key = fresh_idempotency_key("example");
//! let accepted = client.create_order(&order, Submission::Keyed(&key)).await?;
//! if let Some(order_id) = &accepted.seen.id {
//!     println!("{}", client.order(order_id).await?.seen.status);
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod couriers;
mod deliveries;
mod error;
mod events;
mod keys;
mod order_request;
mod orders;
mod parked;
mod problem;
mod responses;
mod suppressions;

pub use client::{Client, ClientOptions, Fetched, fresh_idempotency_key};
pub use deliveries::DeliveryQuery;
pub use error::ApiError;
pub use events::OrderEvent;
pub use keys::KeyRequest;
pub use order_request::{
    AddressMode, ChannelOverride, InvalidParts, OrderRecipient, OrderRequest, OrderSender,
};
pub use orders::{OrderQuery, OrderRetry, OrderWait, Submission};
pub use problem::{ApiProblem, InvalidPart};
pub use responses::{
    Accepted, ApiResponse, BatchResult, CancelledCount, CourierStatus, CreatedKey, DeletedCount,
    DeliveryCounts, DeliveryLine, Duplicates, EndedParked, Found, FoundList, Key, MovedOrder, Order,
    OrderDelivery, Page, Parked, ParkedOrder, PutCount, Recipients, ReleasedCount, Retried, SenderLimit,
    Skipped, Suppression, UnreadableDeliveries, UnreadableOrder, WaitedOrder, Warning,
};
pub use suppressions::AddressBatch;
