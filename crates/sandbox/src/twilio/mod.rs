//! A fake Twilio Messaging API: its paths, field names, answers and limits, over plain HTTP. It accepts every valid
//! message, advances its status, and reports each new status to the message's StatusCallback with a valid signature.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /2010-04-01/Accounts/{Sid}/Messages.json` | 201 with the message, or an error with Twilio's code |
//! | `GET …/Messages.json` | those kept, newest first; `To`, `From`, `DateSent`, `DateSent>`, `DateSent<`, `PageSize`, `Page` |
//! | `GET …/Messages/{Sid}.json` | one |
//! | `GET /2010-04-01/Accounts/{Sid}.json` | the account |
//!
//! The statuses are queued (with a Messaging Service accepted first), sending, sent, delivered; the settings set the
//! times. Nothing beyond this computer is ever called: a callback goes to a loopback address, or to a public name that
//! the settings map to one. `DateSent` of a message that is not sent yet is its creation time.

mod callback;
mod create;
mod errors;
mod magic;
mod replies;
mod resource;
mod segments;
mod server;
mod settings;
mod sign;
mod status_timeline;

pub use self::magic::MAGIC_NUMBERS;
pub(crate) use self::magic::transport;
pub use self::replies::Replied;
pub(crate) use self::server::Inside;
pub use self::server::{FakeTwilio, TwilioServer};
pub use self::settings::Settings;
pub use self::sign::signature;
pub use crate::fake_provider::{
    Bounds, Callbacks, FakeServerError, InvalidMessageFault, JournalEntry, MOST_FAULTS, Magic, MessageAction,
    MessageFault, RequestFate,
};

#[cfg(test)]
mod tests;
