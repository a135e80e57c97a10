//! `posthaste order retry`, `cancel` and `move`.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{OrderId, watch};
use crate::api::{Cancelled, Order, Retried, Told};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment;
use crate::output::{Column, Format};
use crate::terminal::plain;

const RETRY_EXAMPLES: &str = "\
Examples:
  posthaste order retry teacher.1763676000000000000 --watch          those that failed
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
    order: OrderId,
    /// Rows in these states. Who is unknown may get the message twice.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = ["failed", "unknown", "expired", "cancelled"])]
    state: Vec<String>,
    /// These recipients, by their ids.
    #[arg(long, value_name = "ID", conflicts_with = "state")]
    recipient: Vec<String>,
    /// Follow the new order to its end.
    #[arg(long)]
    watch: bool,
}

/// Arguments of `posthaste order cancel`.
#[derive(Debug, clap::Args)]
#[command(before_help = CANCEL_EXAMPLES)]
pub(crate) struct CancelArgs {
    /// The order.
    order: OrderId,
}

/// Arguments of `posthaste order move`.
#[derive(Debug, clap::Args)]
#[command(before_help = MOVE_EXAMPLES)]
pub(crate) struct MoveArgs {
    /// The order.
    order: OrderId,
    /// When it is to be sent instead.
    #[arg(long, value_name = "TIME")]
    at: String,
}

/// Makes a new order of rows of an old one.
///
/// # Errors
/// Not confirmed, the queue refuses, or as the watch.
pub(crate) async fn retry(args: RetryArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let mut body = Map::new();
    if args.recipient.is_empty() {
        let states = if args.state.is_empty() { vec!["failed".to_owned()] } else { args.state };
        if states.iter().any(|state| state == "unknown") {
            context
                .terminal
                .confirm("Who is unknown may have got the message and gets it twice then. Go on?")?;
        }
        body.insert("states".to_owned(), json!(states));
    } else {
        body.insert("recipient_ids".to_owned(), json!(args.recipient));
    }
    let retried: Told<Retried> =
        client.send(Method::POST, &args.order.path("/retry"), &Value::from(body)).await?;
    let id = plain(&retried.seen.order_id);
    let count = retried.seen.count().map_or_else(String::new, |count| format!(" to {count}"));
    if args.watch {
        context.terminal.note(&format!("order {id}{count} accepted"));
        return watch::follow(&client, &retried.seen.order_id, context).await;
    }
    let columns = [
        Column { title: "Order id", cell: |retried: &Told<Retried>, _| retried.seen.order_id.clone() },
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
        context.terminal.hint(&format!("Follow it:  posthaste order watch {id}"));
    }
    Ok(())
}

/// Stops what is not sent yet.
///
/// # Errors
/// Not confirmed, or the queue refuses.
pub(crate) async fn cancel(args: CancelArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order: Told<Order> = client.get(&args.order.path(""), &[]).await?;
    let open = order.seen.totals.pending;
    if open == 0 && order.seen.is_final() {
        let state = plain(&order.seen.state.replace('_', " "));
        return Err(Failure::refused(format!("the order is {state}; there is nothing to cancel")));
    }
    let total = order.seen.totals.accepted;
    context.terminal.confirm(&format!("Cancel {open} of {total} messages that are not sent yet?"))?;
    let cancelled: Told<Cancelled> =
        client.send(Method::POST, &args.order.path("/cancel"), &json!({})).await?;
    let columns = [
        Column { title: "Cancelled", cell: |told: &Told<Cancelled>, _| told.seen.cancelled.to_string() },
        Column { title: "Too late", cell: |told, _| told.seen.too_late.to_string() },
    ];
    context.output(Format::Table).one(&cancelled, &columns, std::slice::from_ref(&cancelled), |out, _| {
        writeln!(out, "{} cancelled, {} too late", cancelled.seen.cancelled, cancelled.seen.too_late)
    })
}

/// Moves an order to another time.
///
/// # Errors
/// The time is none, or the queue refuses.
pub(crate) async fn move_to(args: MoveArgs, context: &Context) -> Result<()> {
    let now = moment::now();
    let at = moment::read(&args.at, &now).map_err(|why| Failure::usage(format!("--at: {why}")))?;
    let (client, _) = context.client()?;
    let body = json!({"deliver_at": at.to_string()});
    let moved: Told<Value> = client.send(Method::PATCH, &args.order.path(""), &body).await?;
    let columns = [Column {
        title: "Due at",
        cell: |moved: &Told<Value>, reader| reader.moment(moved.seen["due_at"].as_str()),
    }];
    context.output(Format::Table).one(&moved, &columns, std::slice::from_ref(&moved), |out, reader| {
        writeln!(out, "Due {}", reader.moment(moved.seen["due_at"].as_str()))
    })
}
