//! Client of the queue's HTTP API. Fields of a response that the command line uses are typed; the rest is passed through
//! unchanged.

mod client;
mod events;
mod problem;
mod views;

pub(crate) use client::Client;
pub(crate) use events::Event;
pub(crate) use problem::Problem;
pub(crate) use views::{
    Accepted, ApiResponse, Cancelled, Counts, Courier, DeletedCount, Delivery, DeliveryLine, Found,
    FoundList, Key, NewKey, Order, Page, Parked, ParkedOrder, PutCount, Retried, Skipped, Suppression,
    UnreadableDeliveries,
};
