//! `posthaste order …`: list, show, watch, export, retry, cancel and move orders.

mod change;
mod deliveries;
mod export;
mod list;
mod order_id;
mod show;
pub(crate) mod watch;

use crate::context::Context;
use crate::failure::Result;

pub(crate) use order_id::OrderIdArg;

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
