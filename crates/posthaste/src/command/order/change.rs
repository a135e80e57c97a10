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
  posthaste order retry teacher.1763676000000000000 --watch          deliveries that failed or were suppressed
  posthaste order retry teacher.1763676000000000000 --status failed,unknown
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
    /// Deliveries with these statuses; default: failed, suppressed. Those that are unknown may arrive twice. Addresses
    /// that are still on a suppression list are left out.
    #[arg(long, value_name = "STATUS", value_delimiter = ',',
        value_parser = ["failed", "unknown", "suppressed", "expired", "cancelled"])]
    status: Vec<String>,
    /// Only this recipient, by id. May be repeated.
    #[arg(long, value_name = "ID", conflicts_with = "status")]
    recipient: Vec<String>,
    /// Watch the new order until it finishes.
    #[arg(long)]
    watch: bool,
    /// With --watch: also wait for the delivery receipts of sent messages, on channels that have them (not e-mail).
    #[arg(long, requires = "watch")]
    receipts: bool,
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
        which.statuses = args.status;
        if which.statuses.is_empty() {
            which.statuses.extend(["failed", "suppressed"].map(str::to_owned));
        }
        if which.statuses.iter().any(|status| status == "unknown") {
            context.terminal.confirm(
                "Recipients with the status unknown may already have the message and would get it twice. Continue?",
            )?;
        }
    }
    let retried = client.retry_order(args.order.as_str(), &which, None).await?;
    let id = plain(&retried.seen.id);
    let count = format!(" (deliveries: {})", retried.seen.delivery_count);
    if let Some(left_out) = retried.seen.suppressed_count.filter(|count| *count > 0) {
        context.terminal.warn(&left_out_words(left_out));
    }
    if args.watch {
        context.terminal.note(&format!("order {id}{count} accepted"));
        let until = watch::Until { receipts: args.receipts };
        return watch::follow(&client, &retried.seen.id, until, context).await;
    }
    let columns = [
        Column { title: "Id", cell: |retried: &ApiResponse<Retried>, _| retried.seen.id.clone() },
        Column { title: "Deliveries", cell: |retried, _| retried.seen.delivery_count.to_string() },
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

/// What was left out of a retry, and what to do about it.
fn left_out_words(count: u64) -> String {
    format!(
        "{count} suppressed: left out. Remove them from the suppression list first (posthaste suppression delete), \
         then retry"
    )
}

/// Cancels the messages that are not sent yet.
///
/// # Errors
/// Not confirmed, or the queue rejects the request.
pub(crate) async fn cancel(args: CancelArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order = client.order(args.order.as_str()).await?;
    let open = order.seen.counts.pending;
    if open == 0 && order.seen.is_final() {
        let status = plain(&order.seen.status.replace('_', " "));
        return Err(Failure::refused(format!("the order is {status}; there is nothing to cancel")));
    }
    let total = order.seen.counts.total;
    context.terminal.confirm(&format!("Cancel the messages that are not sent yet ({open} of {total})?"))?;
    let cancelled = client.cancel_order(args.order.as_str()).await?;
    let columns = [
        Column {
            title: "Cancelled",
            cell: |response: &ApiResponse<CancelledCount>, _| response.seen.cancelled_count.to_string(),
        },
        Column { title: "Too late", cell: |response, _| response.seen.too_late_count.to_string() },
    ];
    context.output(Format::Table).one(&cancelled, &columns, std::slice::from_ref(&cancelled), |out, _| {
        writeln!(
            out,
            "{} cancelled, {} too late",
            cancelled.seen.cancelled_count, cancelled.seen.too_late_count
        )
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
        title: "Deliver at",
        cell: |moved: &ApiResponse<MovedOrder>, reader| reader.moment(moved.seen.deliver_at.as_deref()),
    }];
    context.output(Format::Table).one(&moved, &columns, std::slice::from_ref(&moved), |out, reader| {
        writeln!(out, "Due {}", reader.moment(moved.seen.deliver_at.as_deref()))
    })
}
