//! The webhook channel: a POST of the text to a URL of each recipient.
//!
//! Guarantees beyond those every channel gives:
//!
//! - It is off unless the settings name who may receive messages (`webhook.hosts`), and the queue accepts orders on it only
//!   if `orders.channels` names it.
//! - Recipients choose their URLs, so a URL is hostile input. Only `https` (unless the settings say otherwise), the ports of
//!   the settings, and addresses of the public internet are called; see [`address_guard`]. A name is resolved once per
//!   connection, and the connection goes to an address that was checked. Redirects are not followed; no proxy is used.
//! - Every attempt of a delivery has the same id, in the body and in the header `webhook-id`.
//! - An answer is judged by its HTTP status; see the table in `response_rules.toml`. Of its body at most 16 KiB are read, and none
//!   of it is kept. An answer that breaks off counts as unknown.
//! - A URL is an address: no log, error or metric of this channel shows it. (At the level `debug` the HTTP client logs the
//!   hosts it connects to.)

pub mod address_guard;
mod call;
mod message;
mod public_dns;
pub mod response_rules;
pub mod settings;
mod target;
mod transport;

use posthaste_courier::process::{self, Process};
use posthaste_courier::program::{CourierArgs, CourierProgram, NewTransport};
use posthaste_model::channels;

pub use message::ID_HEADER;
pub use public_dns::{LookingUp, Lookup, system_lookup};
pub use settings::Settings;
pub use transport::WebhookTransport;

/// The program of this channel's courier.
pub static COURIER: CourierProgram =
    CourierProgram::new::<Args>(&channels::WEBHOOK, "hosts, ports", include_str!("dev.toml"));

/// Command-line arguments of the courier.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Arguments common to all couriers.
    #[command(flatten)]
    pub process: process::Args,
}

impl CourierArgs for Args {
    type Settings = Settings;
    type Transport = WebhookTransport;

    const PROCESS: Process = Process {
        name: "posthaste-courier-webhook",
        defaults: settings::DEFAULTS,
        secrets: settings::SECRETS,
    };
    const TRANSPORT: NewTransport<Settings, WebhookTransport> = WebhookTransport::new;

    fn process(&self) -> &process::Args {
        &self.process
    }
}
