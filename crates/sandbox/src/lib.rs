//! Fake providers that behave like the real ones, an outbox, faults on request.
//!
//! Nothing that arrives here is sent on. An SMTP server (plain, STARTTLS, TLS; AUTH) accepts every message, or does
//! what a fault or a [magic address](MAGIC_NAMES) asks for: refuses at any stage, greylists, throttles, hangs,
//! resets, drops, is slow. Beside it are [`telegram`], [`vk`], [`twilio`], a generic SMS [`gateway`] and a receiver of
//! [`webhook`]s, over HTTP, with faults and magic recipients of their own. Every attempt is recorded in memory (bounded)
//! and, on request, in a file; the outbox shows them all.
//!
//! ```
//! use posthaste_sandbox::{Action, AttemptStage, Fault, RefusalAnswer, Sandbox, Settings};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let sandbox = Sandbox::start(Settings::default()).await?;
//! sandbox.add_fault(Fault::new(AttemptStage::Rcpt, Action::Refuse(RefusalAnswer::of(550))).to("*@gone.example"))?;
//! println!("SMTP on {}", sandbox.smtp());
//! assert_eq!(sandbox.messages().len(), 0);
//! sandbox.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub mod fake_provider;
mod faults;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gateway;
mod outbox;
mod record;
mod run;
mod sandbox;
mod settings;
mod smtp;
pub mod telegram;
mod tls;
pub mod twilio;
pub mod vk;
pub mod webhook;

pub use faults::{
    Action, AddressPattern, Fault, FaultView, InvalidFault, MAGIC_NAMES, MagicName, MagicSettings,
    RefusalAnswer,
};
pub use record::{
    Attempt, AttemptOutcome, AttemptRecipient, AttemptStage, Cut, Ending, HttpFacts, LaterStatus, Protocol,
    RecordCounts, SmtpFacts, Totals,
};
pub use run::{Args, main, run};
pub use sandbox::{Sandbox, StartError};
pub use settings::{
    AuthSettings, DEFAULTS, Extension, OutboxSettings, ProcessSettings, RecordSettings, Settings,
    SmtpServerSettings, Tolerance,
};
