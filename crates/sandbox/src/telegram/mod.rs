//! A fake Bot API of Telegram: its paths, field names, answers and limits, over plain HTTP. It accepts every valid
//! message, or does what a fault or a magic chat asks for, and records every request with all its bytes before it
//! answers.
//!
//! ```
//! use posthaste_sandbox::telegram::{MessageAction, MessageFault, Settings, TelegramServer};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let telegram = TelegramServer::start(Settings::default()).await?;
//! telegram.add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 3 }).to("1234567").times(1))?;
//! println!("a bot's api_url is {}", telegram.url());
//! assert_eq!(telegram.messages().len(), 0);
//! telegram.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! | method | what it does |
//! | --- | --- |
//! | `getMe` | returns the bot of the token |
//! | `sendMessage` | JSON or form; checks what the real one checks (chat, text, its length, entities), applies the limits, returns the message |
//! | `getUpdates` | returns what people did ([`TelegramServer::block`], [`TelegramServer::write`]) until it is confirmed; waits for it as long as requested; ends an open earlier request with a conflict |
//! | any other | 404, as the real one answers for methods it does not have |
//!
//! Limits, each in [`Settings`]: messages per second of a bot (above it, the bot is banned); to a person; to a group
//! per minute. All are answered 429 with `retry_after`.

mod answer;
mod limits;
mod magic;
mod methods;
mod people;
mod server;

pub use self::limits::BotLimits;
pub use self::magic::MAGIC_CHATS;
pub(crate) use self::people::{Crowd, Does};
pub use self::server::{FakeTelegram, Settings, TelegramServer};
pub use crate::fake_provider::{
    Bounds, FakeServerError, InvalidMessageFault, JournalEntry, MOST_FAULTS, Magic, MessageAction,
    MessageFault, RequestFate,
};

#[cfg(test)]
mod tests;
