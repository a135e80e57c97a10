//! A stand-in for Twilio's messages: its paths, field names, answers and limits, on plain HTTP. It takes every message that is in
//! order, lets its status advance, and tells each new status to the message's StatusCallback with a valid signature.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /2010-04-01/Accounts/{Sid}/Messages.json` | 201 with the message, or an error with Twilio's code |
//! | `GET …/Messages.json` | those kept, newest first; `To`, `From`, `DateSent`, `DateSent>`, `DateSent<`, `PageSize`, `Page` |
//! | `GET …/Messages/{Sid}.json` | one |
//! | `GET /2010-04-01/Accounts/{Sid}.json` | the account |
//!
//! Statuses go queued (with a Messaging Service accepted first), sending, sent, delivered, as the settings time them. Nothing
//! beyond this computer is ever called: a callback goes to a loopback address, or to a public name which the settings say is
//! reached at one. `DateSent` of a message that is not sent yet is when it was created.

mod callback;
mod course;
mod create;
mod errors;
mod magic;
mod replies;
mod resource;
mod segments;
mod server;
mod settings;
mod sign;

pub use self::magic::MAGIC_NUMBERS;
pub(crate) use self::magic::transport;
pub use self::replies::Replied;
pub(crate) use self::server::Inside;
pub use self::server::{Server, Twilio};
pub use self::settings::Settings;
pub use self::sign::signature;
pub use crate::standin::{
    Action, Bounds, Callbacks, Fate, Fault, Invalid, MOST_FAULTS, Magic, Request, StartError,
};

#[cfg(test)]
mod tests;
