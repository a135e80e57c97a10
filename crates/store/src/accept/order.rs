//! What is accepted, and the answer.

use std::time::Duration;

use posthaste_model::{Channel, Content, Delivery, Durability, OnUnknown, OrderId, Priority, UnixMs};

/// An order without its recipients.
#[derive(Debug, Clone)]
pub struct NewOrderHead {
    /// Its order id, which is unique.
    pub order_id: OrderId,
    /// When it is due; `None` means now.
    pub due: Option<UnixMs>,
    /// Its priority.
    pub priority: Priority,
    /// What happens to unknown deliveries.
    pub on_unknown: OnUnknown,
    /// When it expires; `None` means `span` after the due time.
    pub not_after: Option<UnixMs>,
    /// See `not_after`.
    pub span: Duration,
    /// The message.
    pub content: Content,
}

/// A whole order.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// All but the recipients.
    pub head: NewOrderHead,
    /// Digest of the body it was made from: an order with the same order id and digest is the same order.
    pub digest: [u8; 12],
    /// Its deliveries. Equal addresses of one channel are merged, mailboxes without regard to case: the first counts.
    pub deliveries: Vec<(Channel, Delivery)>,
    /// Recipients without an address, per channel.
    pub no_contact: Vec<(Channel, u32)>,
}

/// The result of an acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedOrder {
    /// Its order id.
    pub order_id: OrderId,
    /// Whether an earlier call had stored it.
    pub already_done: bool,
    /// Whether it is due now, by the server's clock.
    pub due_now: bool,
    /// When it was accepted.
    pub accepted: UnixMs,
    /// When it is due.
    pub due: UnixMs,
    /// What "accepted" means here.
    pub durability: Durability,
    /// For each channel, what was stored and when its courier was last seen.
    pub channels: Vec<AcceptedChannel>,
}

/// What was accepted for one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChannel {
    /// The channel.
    pub channel: Channel,
    /// Deliveries stored.
    pub deliveries: u32,
    /// Deliveries left out because their address was already in the order.
    pub merged: u32,
    /// Recipients without an address.
    pub no_contact: u32,
    /// When a courier of the channel was last seen.
    pub courier_seen: Option<UnixMs>,
}
