//! The SMS channel: Twilio, or any provider with a plain HTTP interface, one provider per process.
//!
//! Guarantees beyond the contract of a channel:
//!
//! - Segments are counted as providers charge them (GSM alphabet or UTF-16, no character is split), and the rate is
//!   in segments.
//! - A response is judged by the class of its HTTP status first, then by the provider's code. The rules are data: the
//!   file `response_rules.toml` of the provider, which an operator may replace.
//! - The courier has its own public listener for receipts and replies. A request is trusted only after its signature
//!   is verified on the raw bytes, and acknowledged only after the feedback sink has stored it. The history decides
//!   which of two receipts prevails.
//! - A failure reported by a receipt does not resend the message: by then that decision belongs to the caller. A
//!   useless number is suppressed as the rules say. When too many of the last messages failed by policy (filtered by
//!   carriers, an unregistered sender), the channel stops, whether responses or receipts report it.
//! - After an unknown outcome Twilio is asked for the message before another one is sent. Two attempts of one text to
//!   one number never both find the same message within a courier; between couriers only if they ask within the same
//!   milliseconds.
//! - A STOP reply puts the number on the channel's suppression list, a START reply removes it.
//! - Numbers, texts, tokens and passwords appear in requests only: no log, error or panic shows them.
//!
//! Another kind of provider (such as SMPP) is another implementation of the trait in `provider.rs`: count, send,
//! check, and the routes of its callbacks.

mod callback_server;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gateway;
mod number;
mod provider;
mod response_rules;
mod segment_pacer;
mod sender_fault_detector;
mod sender_health;
pub mod settings;
mod transport;
mod twilio;

use posthaste_courier::process::{self, Process};
use posthaste_courier::program::{CourierArgs, CourierProgram, NewTransport};
use posthaste_model::channels;
use posthaste_ops::config::Sources;

pub use settings::Settings;
pub use transport::SmsTransport;

/// The program of this channel's courier.
pub static COURIER: CourierProgram =
    CourierProgram::new::<Args>(&channels::SMS, "account and credential", include_str!("dev.toml"));

/// The courier's command line. Tokens are not arguments, because all users of the machine could read them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// The arguments of every courier.
    #[command(flatten)]
    pub process: process::Args,
    /// URL of Twilio's API, as in `https://api.twilio.com`.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Where to listen for receipts and replies, as in `127.0.0.1:8085`.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The public address of that listener.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

impl CourierArgs for Args {
    type Settings = Settings;
    type Transport = SmsTransport;

    const PROCESS: Process =
        Process { name: "posthaste-courier-sms", defaults: settings::DEFAULTS, secrets: settings::SECRETS };
    const TRANSPORT: NewTransport<Settings, SmsTransport> = SmsTransport::new;

    fn process(&self) -> &process::Args {
        &self.process
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources
            .flag("--api-url", "twilio.api_url", self.api_url.as_ref())
            .flag("--listen", "sms.listen", self.listen.as_ref())
            .flag("--public-url", "sms.public_url", self.public_url.as_ref())
    }
}
