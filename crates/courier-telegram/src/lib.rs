//! The Telegram channel: plain texts formatted with `entities`, sent by one or more bots.
//!
//! Guarantees beyond those every channel gives:
//!
//! - Texts are sent as they are. No parse mode is used, so no text can be mistaken for markup or be invalid markup.
//! - A text over 4,096 UTF-16 units is sent in parts, in order. Each part is begun and settled on its own, so a crash
//!   repeats at most the part on the wire and none before it.
//! - An answer is judged by its HTTP status, its code and words in its description; see the table in `response_rules.toml`.
//!   An accepted message counts as accepted whatever the message in the answer looks like.
//! - An answer 429 pauses the bot and lowers its rate. It pauses only the chat if that chat was sent many messages
//!   recently, its own limit explains the wait, and no other chat of the bot has a wait of its own. Each bot has its
//!   own budget: one that pauses does not hold up the others.
//! - A bot whose token is refused is not used for 30 s, then tried once more. The others go on and take over its
//!   chats; messages that none of them can deliver wait for it. The channel stops only when every token is refused.
//! - A token appears in requests only: no log, error or panic shows it.
//! - Updates are requested only if the settings say so. A block, or the bot's removal from a group, puts the chat on
//!   the channel's suppression list; when the chat is back, it is taken off. Nothing is confirmed to Telegram before
//!   it is stored. With several bots, a block of one bot suppresses nobody: only a message that no bot could deliver
//!   does. If another program requests a bot's updates, they are left to that program after three conflicts in a row
//!   and requested again once an hour; sending goes on.
//!
//! Types and setup come from teloxide. Its sending is not used: it sleeps after an answer 5xx, drops the code of an answer, and
//! treats a message as not sent if it can't parse the message in the answer.
//!
//! The bot for a chat is derived from the chat id, so every courier of the channel picks the same one. If that bot can't reach
//! the chat, the others are tried, and the one that can is remembered.

mod api;
mod chat;
mod chat_limits;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod log;
mod message;
mod outgoing;
pub mod response_rules;
mod sender;
pub mod settings;
pub mod split;
mod token;
mod transport;
mod update_event;
mod updates;

use posthaste_courier::process::{self, Process};
use posthaste_courier::program::{CourierArgs, CourierProgram, NewTransport};
use posthaste_model::channels;
use posthaste_ops::config::Sources;

pub use settings::Settings;
pub use transport::TelegramTransport;

/// The program of this channel's courier.
pub static COURIER: CourierProgram =
    CourierProgram::new::<Args>(&channels::TELEGRAM, "bots and their tokens", include_str!("dev.toml"));

/// Command-line arguments of the courier. Tokens are never arguments: every user of the machine could read them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Arguments common to all couriers.
    #[command(flatten)]
    pub process: process::Args,
    /// Address of the Bot API, for example `https://api.telegram.org`.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
}

impl CourierArgs for Args {
    type Settings = Settings;
    type Transport = TelegramTransport;

    const PROCESS: Process = Process {
        name: "posthaste-courier-telegram",
        defaults: settings::DEFAULTS,
        secrets: settings::SECRETS,
    };
    const TRANSPORT: NewTransport<Settings, TelegramTransport> = TelegramTransport::new;

    fn process(&self) -> &process::Args {
        &self.process
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources.flag("--api-url", "telegram.api_url", self.api_url.as_ref())
    }
}
