//! A stand-in for the Bot API of Telegram: its paths, field names, answers and limits, on plain HTTP. It takes every message
//! that is in order, or does what a fault or a magic chat asks for, and writes every request down with all its bytes before it
//! answers.
//!
//! ```
//! use posthaste_sandbox::telegram::{Action, Fault, Server, Settings};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let telegram = Server::start(Settings::default()).await?;
//! telegram.add_fault(Fault::new(Action::Throttle { retry_after: 3 }).to("1234567").times(1))?;
//! println!("a bot's api_url is {}", telegram.url());
//! assert_eq!(telegram.messages().len(), 0);
//! telegram.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! | method | what it does |
//! | --- | --- |
//! | `getMe` | tells the bot of the token |
//! | `sendMessage` | JSON or form; checks what the real one checks (chat, text, its length, entities), keeps the limits, answers the message |
//! | `getUpdates` | tells what people did ([`Server::block`], [`Server::write`]) until it is confirmed; waits for it as long as asked; ends the question before it with a conflict |
//! | any other | 404, as the real one says of methods it does not have |
//!
//! Limits, each in [`Settings`]: messages a second of a bot, which brings a ban of the bot; to a person; to a group in a minute.
//! All are answered 429 with `retry_after`.

mod answer;
mod limits;
mod magic;
mod methods;
mod people;
mod server;

pub use self::limits::Limits;
pub use self::magic::MAGIC_CHATS;
pub(crate) use self::people::{Crowd, Does};
pub use self::server::{Server, Settings, Telegram};
pub use crate::standin::{Action, Bounds, Fate, Fault, Invalid, MOST_FAULTS, Magic, Request, StartError};

#[cfg(test)]
mod tests;
