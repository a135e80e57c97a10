//! A fake receiver of webhooks: every path belongs to somebody, so `http://127.0.0.1:PORT/anna` is an address of Anna.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST` with JSON | takes `{"id":"…","text":"…","subject":"…"}` (the subject may be left out) and answers 200; a second message with the same id is answered in the same way and recorded as a repeat |
//! | anything else | 405, or 400 if the body is not such a message |

mod magic;
mod server;

pub use self::magic::MAGIC_PATHS;
pub use self::server::{FakeWebhook, Settings, WebhookServer};
pub use crate::fake_provider::{
    Bounds, FakeServerError, InvalidMessageFault, JournalEntry, MOST_FAULTS, Magic, MessageAction,
    MessageFault, RequestFate,
};

#[cfg(test)]
mod tests;
