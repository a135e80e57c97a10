//! The e-mail channel: composes messages with lettre, signs them by DKIM, and hands them to SMTP relays over connections of
//! its own.
//!
//! What is promised beyond the contract of a channel:
//!
//! - Message-ID and Date are those of the row, chosen before the first attempt: every attempt sends the same bytes.
//! - Only silence after the final dot makes an outcome unknown. Whatever goes wrong before it was not sent.
//! - No header, address or body can end a line of the conversation: addresses and headers are checked, bodies are encoded, and
//!   the finished bytes are looked at once more.
//! - A reply is judged by its code, its enhanced code and its stage; the table is the file `replies.toml`.
//! - What comes back is believed when it comes to an address or by a link that was made here, and thanked for when it is stored.
//!
//! Besides the metrics of every courier there are `posthaste_smtp_connections_total` (relay, how: opened, failed) and
//! `posthaste_smtp_refusals_total` (relay, code); of what comes back `posthaste_bounces_total` (says, became),
//! `posthaste_bounces_refused_total` (to addresses not made here), `posthaste_bounce_connections_refused_total` (too many of one peer), `posthaste_plain_return_paths_total` (why: messages that
//! left without a return path of their own) and `posthaste_unsubscribes_total` (became).

mod answer;
pub mod compose;
pub mod dkim;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hearing;
pub mod identity;
pub mod mailbox;
mod opening;
mod parts;
mod places;
mod postbox;
mod relay;
mod relays;
pub mod replies;
mod report;
mod returns;
mod seal;
mod session;
pub mod settings;
mod transport;
mod unsubscribe;
mod verp;
mod wire;

use posthaste_courier::Checked;
use posthaste_courier::process::{self, Making, Process};
use posthaste_model::Channel;
use posthaste_ops::config::Sources;
use posthaste_ops::exit::Failure;

pub use settings::Settings;
pub use transport::{Email, Open, Unusable};

/// The process of this channel.
pub const PROCESS: Process =
    Process { name: "posthaste-courier-email", defaults: settings::DEFAULTS, secrets: settings::SECRETS };

/// What the courier takes on its command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// What every courier takes.
    #[command(flatten)]
    pub process: process::Args,
    /// The relays, with commas, as in smtp://relay.example.org:587.
    #[arg(long, value_name = "URL,…")]
    pub relays: Option<String>,
    /// From whom messages are, as in "Example <no-reply@example.org>".
    #[arg(long, value_name = "MAILBOX")]
    pub from: Option<String>,
}

impl Args {
    /// Every place settings come from, these arguments among them.
    pub fn sources(&self) -> Sources {
        PROCESS.sources(&self.process, &|sources| self.flags(sources))
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources.flag("--relays", "smtp.relays", self.relays.as_ref()).flag(
            "--from",
            "email.from",
            self.from.as_ref(),
        )
    }
}

/// Runs the courier of the e-mail channel until it is asked to stop.
///
/// # Errors
/// A [`Failure`] with the exit code that says what to do.
pub async fn run(args: Args) -> Result<(), Failure> {
    PROCESS.run(&args.process, &|sources| args.flags(sources), make).await
}

/// Looks whether the courier could work: its settings, and a relay that takes the credentials. Sends nothing.
///
/// # Errors
/// A [`Failure`] that says in words what to mend.
pub async fn check(args: Args) -> Result<Checked, Failure> {
    PROCESS.check(&args.process, &|sources| args.flags(sources), make).await
}

fn make(making: Making<Settings>) -> Result<Email, Failure> {
    let channel: Channel = "email".parse().map_err(Failure::software)?;
    let Making { settings, courier, origins } = making;
    Email::new(settings, &courier, channel).map_err(|unusable| match unusable {
        Unusable::Setting(bad) => origins.refuse(bad.key, bad.why).into(),
        Unusable::Table(bad) => Failure::software(bad),
    })
}
