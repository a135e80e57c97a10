//! `posthaste order retry`, `cancel` and `move`.

use posthaste_client::{ApiResponse, CancelledCount, MovedOrder, OrderRetry, Retried};

use super::order_id::OrderIdArg;
use super::watch;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment;
use crate::output::{Column, Format};
use crate::terminal::plain;

const RETRY_EXAMPLES: &str = "\
Examples:
  posthaste order retry teacher.1763676000000000000 --watch          deliveries that failed
  posthaste order retry teacher.1763676000000000000 --state failed,unknown
  posthaste order retry teacher.1763676000000000000 --recipient line-17 --recipient line-88
";

const CANCEL_EXAMPLES: &str = "\
Example:
  posthaste order cancel teacher.1763676000000000000
";

const MOVE_EXAMPLES: &str = "\
Examples:
  posthaste order move teacher.1763676000000000000 --at \"tomorrow 09:00\"
  posthaste order move teacher.1763676000000000000 --at +2h
";

/// Arguments of `posthaste order retry`.
#[derive(Debug, clap::Args)]
#[command(before_help = RETRY_EXAMPLES)]
pub(crate) struct RetryArgs {
    /// The order.
    order: OrderIdArg,
    /// Deliveries in these states; default: failed. Those that are unknown may arrive twice.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = ["failed", "unknown", "expired", "cancelled"])]
    state: Vec<String>,
    /// Only this recipient, by id. May be repeated.
    #[arg(long, value_name = "ID", conflicts_with = "state")]
    recipient: Vec<String>,
    /// Watch the new order until it finishes.
    #[arg(long)]
    watch: bool,
}

/// Arguments of `posthaste order cancel`.
#[derive(Debug, clap::Args)]
#[command(before_help = CANCEL_EXAMPLES)]
pub(crate) struct CancelArgs {
    /// The order.
    order: OrderIdArg,
}

/// Arguments of `posthaste order move`.
#[derive(Debug, clap::Args)]
#[command(before_help = MOVE_EXAMPLES)]
pub(crate) struct MoveArgs {
    /// The order.
    order: OrderIdArg,
    /// The new time: "tomorrow 09:00", "+2h" and so on.
    #[arg(long, value_name = "TIME")]
    at: String,
}

/// Makes a new order from deliveries of an old one.
///
/// # Errors
/// Not confirmed, the queue rejects the request, or the errors of [`watch::follow`].
pub(crate) async fn retry(args: RetryArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let mut which = OrderRetry { recipient_ids: args.recipient, ..OrderRetry::default() };
    if which.recipient_ids.is_empty() {
        which.states = if args.state.is_empty() { vec!["failed".to_owned()] } else { args.state };
        if which.states.iter().any(|state| state == "unknown") {
            context.terminal.confirm(
                "Recipients in state unknown may already have the message and would get it twice. Continue?",
            )?;
        }
    }
    let retried = client.retry_order(args.order.as_str(), &which, None).await?;
    let id = plain(&retried.seen.order_id);
    let count = retried.seen.count().map_or_else(String::new, |count| format!(" (recipients: {count})"));
    if args.watch {
        context.terminal.note(&format!("order {id}{count} accepted"));
        return watch::follow(&client, &retried.seen.order_id, context).await;
    }
    let columns = [
        Column { title: "Order id", cell: |retried: &ApiResponse<Retried>, _| retried.seen.order_id.clone() },
        Column {
            title: "Recipients",
            cell: |retried, _| retried.seen.count().map(|count| count.to_string()).unwrap_or_default(),
        },
    ];
    let output = context.output(Format::Table);
    output.one(&retried, &columns, std::slice::from_ref(&retried), |out, _| {
        writeln!(out, "Order {id}{count}")
    })?;
    if output.format() == Format::Table {
        context.terminal.hint(&format!("Watch it:  posthaste order watch {id}"));
    }
    Ok(())
}

/// Cancels the messages that are not sent yet.
///
/// # Errors
/// Not confirmed, or the queue rejects the request.
pub(crate) async fn cancel(args: CancelArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order = client.order(args.order.as_str()).await?;
    let open = order.seen.totals.pending;
    if open == 0 && order.seen.is_final() {
        let state = plain(&order.seen.state.replace('_', " "));
        return Err(Failure::refused(format!("the order is {state}; there is nothing to cancel")));
    }
    let total = order.seen.totals.accepted;
    context.terminal.confirm(&format!("Cancel the messages that are not sent yet ({open} of {total})?"))?;
    let cancelled = client.cancel_order(args.order.as_str()).await?;
    let columns = [
        Column {
            title: "Cancelled",
            cell: |told: &ApiResponse<CancelledCount>, _| told.seen.cancelled.to_string(),
        },
        Column { title: "Too late", cell: |told, _| told.seen.too_late.to_string() },
    ];
    context.output(Format::Table).one(&cancelled, &columns, std::slice::from_ref(&cancelled), |out, _| {
        writeln!(out, "{} cancelled, {} too late", cancelled.seen.cancelled, cancelled.seen.too_late)
    })
}

/// Moves an order to another time.
///
/// # Errors
/// The time is invalid, or the queue rejects the request.
pub(crate) async fn move_to(args: MoveArgs, context: &Context) -> Result<()> {
    let now = moment::now();
    let at = moment::read(&args.at, &now).map_err(|why| Failure::usage(format!("--at: {why}")))?;
    let (client, _) = context.client()?;
    let moved = client.move_order(args.order.as_str(), &at.to_string()).await?;
    let columns = [Column {
        title: "Due at",
        cell: |moved: &ApiResponse<MovedOrder>, reader| reader.moment(moved.seen.due_at.as_deref()),
    }];
    context.output(Format::Table).one(&moved, &columns, std::slice::from_ref(&moved), |out, reader| {
        writeln!(out, "Due {}", reader.moment(moved.seen.due_at.as_deref()))
    })
}
