//! The queue's HTTP API, from the side of a client: typed where the command line looks into an answer, untouched where
//! it only hands it on.

mod client;
mod events;
mod problem;
mod views;

pub(crate) use client::Client;
pub(crate) use events::Event;
pub(crate) use problem::Problem;
pub(crate) use views::{
    Accepted, Cancelled, Counters, Courier, Couriers, Found, FoundList, Key, LiftedCount, NewKey, Order,
    Page, Parked, ParkedOrder, PutCount, Recipient, RecipientLine, Retried, Skipped, Suppression, Told,
    UnreadableRows,
};
