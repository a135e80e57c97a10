//! The VK channel: messages of a community, up to 2,500 in one request.
//!
//! What is promised beyond the contract of a channel:
//!
//! - Envelopes of one order that share a token go as one `messages.send` to up to 100 peers, and up to 25 of those as one
//!   `execute`. What the program of a request holds of an order is JSON made by a serializer, never pasted text.
//! - `random_id` is the token of the envelope, so VK drops a repeat of what it took.
//! - An answer is judged by its code and by what it is about: one peer, one call to many, the whole request. The table is the file
//!   `answers.toml`. What can't be told apart counts as unknown.
//! - "Too fast" and its like pause the channel and cut its rate; a program that was broken off halves the calls a request.
//! - When VK fails at a repeat too, the request is cut until the peer that makes it fail is alone: VK drops what it took already.
//! - An answer that may come from one peer or from the token (15 and 7) is decided by a look at the token: the channel stops only
//!   for a token that may not send.
//! - A token is a header of requests only; answers repeat what was sent, so nothing of an answer but its numbers reaches a log.
//!
//! By the Callback API people who deny messages are put on the channel's suppression list, and taken off it when they allow them
//! again or write.

mod answer;
pub mod answers;
mod api;
mod calls;
mod code;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod groups;
mod inbound;
mod peer;
mod send;
pub mod settings;
mod transport;

use posthaste_courier::Checked;
use posthaste_courier::process::{self, Making, Process};
use posthaste_model::Channel;
use posthaste_ops::config::Sources;
use posthaste_ops::exit::Failure;

pub use settings::Settings;
pub use transport::{Unusable, Vk};

/// The process of this channel.
pub const PROCESS: Process =
    Process { name: "posthaste-courier-vk", defaults: settings::DEFAULTS, secrets: settings::SECRETS };

/// What the courier takes on its command line. Tokens are no arguments: everybody on the machine could read them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// What every courier takes.
    #[command(flatten)]
    pub process: process::Args,
    /// Where the API is, as in `https://api.vk.com`.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Where VK tells us who wants no more, as in 0.0.0.0:8086.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

impl Args {
    /// Every place settings come from, these arguments among them.
    pub fn sources(&self) -> Sources {
        PROCESS.sources(&self.process, &|sources| self.flags(sources))
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources.flag("--api-url", "vk.api_url", self.api_url.as_ref()).flag(
            "--listen",
            "vk.listen",
            self.listen.as_ref(),
        )
    }
}

/// Runs the courier of the VK channel until it is asked to stop.
///
/// # Errors
/// A [`Failure`] with the exit code that says what to do.
pub async fn run(args: Args) -> Result<(), Failure> {
    PROCESS.run(&args.process, &|sources| args.flags(sources), make).await
}

/// Looks whether the courier could work: its settings, and a token that is taken and may send messages. Sends nothing.
///
/// # Errors
/// A [`Failure`] that says in words what to mend.
pub async fn check(args: Args) -> Result<Checked, Failure> {
    PROCESS.check(&args.process, &|sources| args.flags(sources), make).await
}

fn make(making: Making<Settings>) -> Result<Vk, Failure> {
    let channel: Channel = "vk".parse().map_err(Failure::software)?;
    let Making { settings, courier, origins } = making;
    Vk::new(settings, &courier, channel).map_err(|unusable| match unusable {
        Unusable::Setting(bad) => origins.refuse(bad.key, bad.why).into(),
        Unusable::Table(bad) => Failure::software(bad),
    })
}
