//! The Telegram channel: plain texts with formatting by `entities`, sent by one bot or several.
//!
//! What is promised beyond the contract of a channel:
//!
//! - Texts are sent as they are: there is no parse mode, so nothing in a text can be taken for markup, or be wrong markup.
//! - A text over 4,096 UTF-16 units goes in parts, in order; each is begun and settled on its own, so that after a crash the part
//!   on the wire is repeated at most, and none before it.
//! - An answer is judged by its HTTP status, its code and words in its description; the table is the file `answers.toml`. What was
//!   taken counts as taken whatever the message in the answer looks like.
//! - An answer 429 pauses the bot, and cuts its rate. It pauses a chat alone only if that chat was sent much of late, its own limit
//!   explains the wait, and no other chat of the bot waits alone. Several bots have a budget each: one that pauses does not hold up
//!   the others.
//! - A bot whose token is refused is not used for 30 s, then asked once more; the others go on, also to its chats. What none of
//!   them reaches waits for it. Only when every token is refused does the channel stop.
//! - A token is part of requests only: no log, error or panic shows it.
//! - What comes in for the bots is asked for only when the settings say so: a block, or a farewell to a group, puts the chat on the
//!   channel's suppression list, and whoever is back is taken off it. Nothing is confirmed to Telegram before it is stored. With
//!   several bots a block of one bars nobody: only a message that none of them could bring does. A bot whose updates another program
//!   asks for is left to it after three conflicts in a row, and asked again once an hour; it goes on sending.
//!
//! Types and set-up are teloxide's. Its own sending is not used: it sleeps after an answer 5xx, drops the code of an answer, and
//! takes a message it can't read in the answer for one that was not sent.
//!
//! Which bot writes to which chat is drawn from the chat's number, the same by every courier of the channel; a chat that the bot
//! does not reach is tried with the others, and the one that does is remembered.

pub mod answers;
mod api;
mod chat;
mod chats;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod heard;
mod message;
mod outgoing;
mod sender;
pub mod settings;
pub mod split;
mod token;
mod transport;
mod updates;

use posthaste_courier::Checked;
use posthaste_courier::process::{self, Making, Process};
use posthaste_model::Channel;
use posthaste_ops::config::Sources;
use posthaste_ops::exit::Failure;

pub use settings::Settings;
pub use transport::{Telegram, Unusable};

/// The process of this channel.
pub const PROCESS: Process =
    Process { name: "posthaste-courier-telegram", defaults: settings::DEFAULTS, secrets: settings::SECRETS };

/// What the courier takes on its command line. Tokens are no arguments: everybody on the machine could read them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// What every courier takes.
    #[command(flatten)]
    pub process: process::Args,
    /// Where the Bot API is, as in `https://api.telegram.org`.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
}

impl Args {
    /// Every place settings come from, these arguments among them.
    pub fn sources(&self) -> Sources {
        PROCESS.sources(&self.process, &|sources| self.flags(sources))
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources.flag("--api-url", "telegram.api_url", self.api_url.as_ref())
    }
}

/// Runs the courier of the Telegram channel until it is asked to stop.
///
/// # Errors
/// A [`Failure`] with the exit code that says what to do.
pub async fn run(args: Args) -> Result<(), Failure> {
    PROCESS.run(&args.process, &|sources| args.flags(sources), make).await
}

/// Looks whether the courier could work: its settings, and bots whose tokens are taken. Sends nothing.
///
/// # Errors
/// A [`Failure`] that says in words what to mend.
pub async fn check(args: Args) -> Result<Checked, Failure> {
    PROCESS.check(&args.process, &|sources| args.flags(sources), make).await
}

fn make(making: Making<Settings>) -> Result<Telegram, Failure> {
    let channel: Channel = "telegram".parse().map_err(Failure::software)?;
    let Making { settings, courier, origins } = making;
    Telegram::new(settings, &courier, channel).map_err(|unusable| match unusable {
        Unusable::Setting(bad) => origins.refuse(bad.key, bad.why).into(),
        Unusable::Table(bad) => Failure::software(bad),
    })
}
