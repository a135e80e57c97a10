//! Stand-in providers that behave like the real ones, an outbox, faults on request.
//!
//! Nothing that comes in here goes on anywhere. An SMTP server (plain, STARTTLS, TLS; AUTH) takes every message, or
//! does what a fault or a [magic address](MAGIC_NAMES) asks for: refuses at any stage, greylists, throttles, hangs,
//! resets, drops, is slow. Beside it stand [`telegram`], [`vk`], [`twilio`] and a plain [`gateway`] of SMS, on HTTP, with
//! faults and magic recipients of their own. Every attempt is recorded, in memory (bounded) and on request in a file, and
//! the outbox shows them all.
//!
//! ```
//! use posthaste_sandbox::{Action, Answer, Fault, Sandbox, Settings, Stage};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let sandbox = Sandbox::start(Settings::default()).await?;
//! sandbox.add_fault(Fault::new(Stage::Rcpt, Action::Refuse(Answer::of(550))).to("*@gone.example"))?;
//! println!("SMTP on {}", sandbox.smtp());
//! assert_eq!(sandbox.messages().len(), 0);
//! sandbox.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod faults;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gateway;
mod load;
mod outbox;
mod record;
mod run;
mod sandbox;
mod settings;
mod shown;
mod smtp;
pub mod standin;
pub mod telegram;
mod tls;
pub mod twilio;
pub mod vk;

pub use faults::{
    Action, Answer, Fault, FaultView, InvalidFault, MAGIC_NAMES, MagicName, MagicSettings, Pattern,
};
pub use load::SettingsError;
pub use record::{
    Attempt, Counts, Cut, Ending, HttpFacts, Later, Outcome, Protocol, Recipient, SmtpFacts, Stage, Totals,
};
pub use run::{Args, RunError, main, run};
pub use sandbox::{Sandbox, StartError};
pub use settings::{
    AuthSettings, DEFAULTS, Extension, OutboxSettings, RecordSettings, Settings, SmtpSettings, Tolerance,
};
pub use shown::Setting;
