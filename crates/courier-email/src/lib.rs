//! The e-mail channel: composes messages with lettre, signs them with DKIM, and sends them to SMTP relays over its
//! own client.
//!
//! Guarantees beyond the contract of a channel:
//!
//! - Message-ID and Date belong to the delivery and are chosen before the first attempt: every attempt sends the same
//!   bytes.
//! - Only silence after the final dot makes an outcome unknown. A message that failed before it was not sent.
//! - No header, address or body can end a line of the SMTP session: addresses and headers are checked, bodies are
//!   encoded, and the finished bytes are checked again.
//! - A reply is judged by its code, its enhanced code and its stage; the table is the file `replies.toml`.
//! - Bounces and clicks are trusted only at an address or link made here, and acknowledged only after they are stored.

mod bounce_handler;
mod bounce_server;
pub mod compose;
mod connection_limits;
pub mod dkim;
mod dkim_key;
mod dsn;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handshake;
mod header_text;
mod hmac_tag;
pub mod mailbox;
pub mod message_id;
mod parts;
mod relay;
mod relays;
mod reply_parser;
pub mod reply_rules;
mod return_path_store;
mod session;
pub mod settings;
mod signing;
mod smtp_stream;
mod text_bounce;
mod transport;
mod unsubscribe;
mod verp;

use posthaste_courier::process::{self, Process};
use posthaste_courier::program::{CourierArgs, CourierProgram, NewTransport};
use posthaste_model::channels;
use posthaste_ops::config::Sources;

pub use settings::Settings;
pub use transport::{EmailTransport, Open};

/// The program of this channel's courier.
pub static COURIER: CourierProgram =
    CourierProgram::new::<Args>(&channels::EMAIL, "relays, TLS, credentials", include_str!("dev.toml"));

/// The courier's command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// The arguments of every courier.
    #[command(flatten)]
    pub process: process::Args,
    /// SMTP relays, separated by commas, as in smtp://relay.example.org:587.
    #[arg(long, value_name = "URL,…")]
    pub relays: Option<String>,
    /// The From address of messages, as in "Example <no-reply@example.org>".
    #[arg(long, value_name = "MAILBOX")]
    pub from: Option<String>,
}

impl CourierArgs for Args {
    type Settings = Settings;
    type Transport = EmailTransport;

    const PROCESS: Process =
        Process { name: "posthaste-courier-email", defaults: settings::DEFAULTS, secrets: settings::SECRETS };
    const TRANSPORT: NewTransport<Settings, EmailTransport> = EmailTransport::new;

    fn process(&self) -> &process::Args {
        &self.process
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources.flag("--relays", "smtp.relays", self.relays.as_ref()).flag(
            "--from",
            "email.from",
            self.from.as_ref(),
        )
    }
}
