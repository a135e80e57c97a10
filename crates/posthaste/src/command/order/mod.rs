//! `posthaste order …`: list, show, watch, export, retry, cancel and move orders.

mod change;
mod deliveries;
mod export;
mod list;
mod show;
pub(crate) mod watch;

use std::str::FromStr;

use posthaste_model::ids::OrderId;

use crate::context::Context;
use crate::failure::Result;

/// The commands about orders.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List orders, newest first.
    List(list::Args),
    /// Show one order and the progress of each channel.
    Show(show::Args),
    /// Watch an order until it finishes.
    Watch(watch::Args),
    /// List the deliveries of an order, with status and reason.
    Deliveries(deliveries::Args),
    /// Send again to those the order did not reach, as a new order.
    Retry(change::RetryArgs),
    /// Cancel the messages that are not sent yet.
    Cancel(change::CancelArgs),
    /// Move an order that is not due yet to another time.
    Move(change::MoveArgs),
    /// Write all deliveries with status and reason, as CSV by default.
    Export(export::Args),
}

/// Runs a command.
///
/// # Errors
/// Those of the command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Deliveries(args) => deliveries::run(args, context).await,
        Command::Retry(args) => change::retry(args, context).await,
        Command::Cancel(args) => change::cancel(args, context).await,
        Command::Move(args) => change::move_to(args, context).await,
        Command::Export(args) => export::run(args, context).await,
    }
}

/// The id of an order, checked before it becomes part of a path.
#[derive(Debug, Clone)]
pub(crate) struct OrderIdArg(String);

impl OrderIdArg {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A path below the order, such as `/cancel`; an empty one is the order itself.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/v1/orders/{}{below}", self.0)
    }
}

impl FromStr for OrderIdArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Ids in the form of the legacy API are accepted too.
        let order_id = match text.strip_prefix("history:") {
            Some(order_id) => order_id.parse(),
            None => OrderId::from_wire_id(text),
        };
        order_id.map(|order_id| Self(order_id.wire_id())).map_err(|error| error.to_string())
    }
}
