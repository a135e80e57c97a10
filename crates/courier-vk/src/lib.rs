//! The VK channel: messages of a community, up to 2,500 in one request.
//!
//! Guarantees beyond those every channel gives:
//!
//! - Envelopes of one order that share a token are sent as one `messages.send` to up to 100 peers, and up to 25 of those as
//!   one `execute`. A request's program contains an order's data only as JSON made by a serializer, never as pasted text.
//! - `random_id` is the envelope's token, so VK drops a repeat of a message it accepted.
//! - An answer is judged by its code and by what it concerns: one peer, one call to many, the whole request. See the table in
//!   `response_rules.toml`. An ambiguous result counts as unknown.
//! - "Too fast" and similar answers pause the channel and lower its rate; an interrupted program halves the calls per request.
//! - If VK fails at a repeat too, the request is split until the peer that makes it fail is alone. VK drops messages it already
//!   accepted.
//! - An error that one peer or the token may have caused (15 and 7) is decided by checking the token: the channel
//!   stops only for a token that may not send.
//! - A token is only ever a request header. Answers repeat what was sent, so only their numbers reach a log.
//!
//! The Callback API reports people who deny messages; they are put on the channel's suppression list, and taken off
//! it when they allow messages again or write.

mod api;
mod batch_size;
mod batching;
mod execute_response;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod inbound;
mod peer;
pub mod response_rules;
mod send;
pub mod settings;
mod transport;
mod vkscript;

use posthaste_courier::process::{self, Process};
use posthaste_courier::program::{CourierArgs, CourierProgram, NewTransport};
use posthaste_model::channels;
use posthaste_ops::config::Sources;

pub use settings::Settings;
pub use transport::VkTransport;

/// The program of this channel's courier.
pub static COURIER: CourierProgram =
    CourierProgram::new::<Args>(&channels::VK, "token and its permissions", include_str!("dev.toml"));

/// Command-line arguments of the courier. Tokens are never arguments: every user of the machine could read them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Arguments common to all couriers.
    #[command(flatten)]
    pub process: process::Args,
    /// Address of the API, for example `https://api.vk.com`.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Address to listen on for VK's callbacks, for example 0.0.0.0:8086.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

impl CourierArgs for Args {
    type Settings = Settings;
    type Transport = VkTransport;

    const PROCESS: Process =
        Process { name: "posthaste-courier-vk", defaults: settings::DEFAULTS, secrets: settings::SECRETS };
    const TRANSPORT: NewTransport<Settings, VkTransport> = VkTransport::new;

    fn process(&self) -> &process::Args {
        &self.process
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources.flag("--api-url", "vk.api_url", self.api_url.as_ref()).flag(
            "--listen",
            "vk.listen",
            self.listen.as_ref(),
        )
    }
}
