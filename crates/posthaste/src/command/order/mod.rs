//! `posthaste order …`: look at orders, follow, retry, cancel and move them.

mod change;
mod export;
mod list;
mod recipients;
mod show;
pub(crate) mod watch;

use std::str::FromStr;

use posthaste_model::ids::Suffix;

use crate::context::Context;
use crate::failure::Result;

/// The commands about orders.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List orders, newest first.
    List(list::Args),
    /// Show one order: where each channel stands.
    Show(show::Args),
    /// Follow an order to its end.
    Watch(watch::Args),
    /// List whom it went to, each with state and reason.
    Recipients(recipients::Args),
    /// Send once more to those it did not reach, as a new order.
    Retry(change::RetryArgs),
    /// Stop what is not sent yet.
    Cancel(change::CancelArgs),
    /// Move an order that is not due yet to another time.
    Move(change::MoveArgs),
    /// Write every recipient with state and reason, as CSV unless -o says otherwise.
    Export(export::Args),
}

/// Runs one of them.
///
/// # Errors
/// As each of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Recipients(args) => recipients::run(args, context).await,
        Command::Retry(args) => change::retry(args, context).await,
        Command::Cancel(args) => change::cancel(args, context).await,
        Command::Move(args) => change::move_to(args, context).await,
        Command::Export(args) => export::run(args, context).await,
    }
}

/// The id of an order, checked before it becomes part of a path.
#[derive(Debug, Clone)]
pub(crate) struct OrderId(String);

impl OrderId {
    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A path below the order, such as `/cancel`; the order itself for an empty one.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/v1/orders/{}{below}", self.0)
    }
}

impl FromStr for OrderId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What the ancestor printed is taken too.
        let suffix = match text.strip_prefix("history:") {
            Some(suffix) => suffix.parse(),
            None => Suffix::from_order_id(text),
        };
        suffix.map(|suffix| Self(suffix.order_id())).map_err(|error| error.to_string())
    }
}
