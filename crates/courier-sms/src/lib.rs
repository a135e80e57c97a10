//! The SMS channel: Twilio, or any provider with a plain HTTP interface, one of them a process.
//!
//! What is promised beyond the contract of a channel:
//!
//! - Segments are counted as they are paid for (GSM alphabet or UTF-16, nobody's letter torn), and the rate is one of segments.
//! - An answer is judged by the class of its HTTP status first, then by the provider's code. The table is data: the file
//!   `answers.toml` of the provider, which an operator may replace.
//! - Receipts and replies come in at a public place of the courier's own. Nothing of a request is believed before its signature is
//!   proved on what came in, and it is thanked for when the desk has stored it. Which of two receipts counts more, the history
//!   decides.
//! - A failed message is not sent again by a receipt: by then it is the order's to decide. A number that is of no use is taken off
//!   the list the way the table says. When too many of the last messages failed by policy (filtered by carriers, a sender that is
//!   not registered), the channel stops, whether answers say so or receipts.
//! - After an outcome that is unknown Twilio is asked for the message before another is sent. Two attempts of one text to one number
//!   never both find the same message within a courier, and between couriers only if they ask within the same milliseconds.
//! - A STOP by reply puts the number on the channel's list, a START takes it off.
//! - Numbers, texts, tokens and passwords are part of requests only: no log, error or panic shows them.
//!
//! Another kind of provider (SMPP, say) is another implementation of the trait in `provider.rs`: a count, a send, a check, and what
//! comes in.

mod answers;
mod budget;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gateway;
mod number;
mod provider;
mod public;
mod sender;
pub mod settings;
mod streak;
mod transport;
mod twilio;

use posthaste_courier::Checked;
use posthaste_courier::process::{self, Making, Process};
use posthaste_model::Channel;
use posthaste_ops::config::Sources;
use posthaste_ops::exit::Failure;

pub use answers::BadTable;
pub use settings::Settings;
pub use transport::{Sms, Unusable};

/// The process of this channel.
pub const PROCESS: Process =
    Process { name: "posthaste-courier-sms", defaults: settings::DEFAULTS, secrets: settings::SECRETS };

/// What the courier takes on its command line. Tokens are no arguments: everybody on the machine could read them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// What every courier takes.
    #[command(flatten)]
    pub process: process::Args,
    /// Where Twilio's API is, as in `https://api.twilio.com`.
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Where receipts and replies come in, as in `127.0.0.1:8085`.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The address of that place as the provider sees it.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

impl Args {
    /// Every place settings come from, these arguments among them.
    pub fn sources(&self) -> Sources {
        PROCESS.sources(&self.process, &|sources| self.flags(sources))
    }

    fn flags(&self, sources: Sources) -> Sources {
        sources
            .flag("--api-url", "twilio.api_url", self.api_url.as_ref())
            .flag("--listen", "sms.listen", self.listen.as_ref())
            .flag("--public-url", "sms.public_url", self.public_url.as_ref())
    }
}

/// Runs the courier of the SMS channel until it is asked to stop.
///
/// # Errors
/// A [`Failure`] with the exit code that says what to do.
pub async fn run(args: Args) -> Result<(), Failure> {
    PROCESS.run(&args.process, &|sources| args.flags(sources), make).await
}

/// Looks whether the courier could work: its settings, its table, and a credential that is taken. Sends nothing.
///
/// # Errors
/// A [`Failure`] that says in words what to mend.
pub async fn check(args: Args) -> Result<Checked, Failure> {
    PROCESS.check(&args.process, &|sources| args.flags(sources), make).await
}

fn make(making: Making<Settings>) -> Result<Sms, Failure> {
    let channel: Channel = "sms".parse().map_err(Failure::software)?;
    let Making { settings, courier, origins } = making;
    let own_table = !settings.sms.answers_file.is_empty();
    Sms::new(&settings, &courier, channel).map_err(|unusable| match unusable {
        Unusable::Setting(bad) => origins.refuse(bad.key, bad.why).into(),
        Unusable::Table(bad) if own_table => origins.refuse("sms.answers_file", bad.to_string()).into(),
        Unusable::Table(bad) => Failure::software(bad),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults with these changes, given by their dotted keys.
    pub(crate) fn settings(changes: &[(&str, &str)]) -> Settings {
        let name = |key: &str| format!("POSTHASTE_{}", key.replace('.', "__").to_ascii_uppercase());
        let variables = changes.iter().map(|(key, value)| (name(key).into(), (*value).into()));
        let sources = Sources::new(settings::DEFAULTS).secrets(settings::SECRETS).environment(variables);
        sources.load().unwrap().settings
    }
}
