//! `posthaste parked`: unreadable orders that wait for an operator.

use std::io::{self, Write};

use posthaste_client::{ApiResponse, Parked};

use crate::command::order::OrderIdArg;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, Reader, tell_missing};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste parked list
  posthaste parked show teacher.1763676000000000000
  posthaste parked release teacher.1763676000000000000
  posthaste parked fail teacher.1763676000000000000
";

/// The commands about parked orders.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// List orders and parcels whose records can't be read.
    List(ListArgs),
    /// Show the parked parts of an order, and why they are parked.
    Show(OrderArgs),
    /// Retry a parked order: after an upgrade, or after its record was repaired.
    Release(OrderArgs),
    /// End a parked order: deliveries that were not sent fail, those that may have been sent become unknown. This can't be
    /// undone.
    Fail(OrderArgs),
}

/// Arguments of `posthaste parked list`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// Maximum number of entries; default: all.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

/// An order.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct OrderArgs {
    /// The order.
    order: OrderIdArg,
}

/// Runs a command.
///
/// # Errors
/// The queue does not respond, or rejects the request.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List(args) => list(&args, context).await,
        Command::Show(args) => show(&args, context).await,
        Command::Release(args) => release(&args, context).await,
        Command::Fail(args) => fail(&args, context).await,
    }
}

fn columns() -> [Column<ApiResponse<Parked>>; 5] {
    [
        Column { title: "Order id", cell: |entry, _| entry.seen.order_id.clone() },
        Column { title: "Channel", cell: |entry, _| entry.seen.channel.clone().unwrap_or_default() },
        Column {
            title: "Parcel",
            cell: |entry, _| entry.seen.parcel.map(|parcel| parcel.to_string()).unwrap_or_default(),
        },
        Column { title: "Reason", cell: |entry, reader| reason(entry.seen.reason.as_deref(), reader) },
        Column { title: "Parked at", cell: |entry, reader| reader.moment(Some(&entry.seen.parked_at)) },
    ]
}

/// What can't be read, in words for people. Programs get the stable word.
fn reason(word: Option<&str>, reader: &Reader<'_>) -> String {
    let word = word.unwrap_or_default();
    if matches!(reader, Reader::Program) {
        return word.to_owned();
    }
    match word {
        "type" => "its key has the wrong type",
        "head" => "its head is damaged",
        "counters" => "its counters are damaged",
        "member" => "the order has no such parcel",
        "outcomes" => "the outcomes of its deliveries are damaged",
        "content" => "its content is damaged",
        "deliveries" => "its deliveries are damaged",
        other => return plain(other),
    }
    .to_owned()
}

async fn list(args: &ListArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let output = context.output(Format::Table);
    let columns = columns();
    let mut rows = output.rows(&columns, io::stdout());
    let (mut left, mut cursor) = (args.limit.unwrap_or(usize::MAX), None::<String>);
    let mut missing = std::collections::BTreeSet::new();
    while left > 0 {
        let page = client.parked(left.clamp(1, 500), cursor.as_deref()).await?;
        for entry in page.items.iter().take(left) {
            rows.push(entry)?;
        }
        missing.extend(page.partitions_missing);
        left = left.saturating_sub(page.items.len());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let missing: Vec<u16> = missing.into_iter().collect();
    tell_missing(&mut rows, &missing, "entries", &context.terminal)?;
    if rows.end()? == 0 && missing.is_empty() && output.format() == Format::Table {
        context.terminal.hint("No orders are parked.");
    }
    Ok(())
}

async fn show(args: &OrderArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order = client.parked_order(args.order.as_str()).await?;
    let output = context.output(Format::Table);
    if output.format() == Format::Table {
        output.list(&columns(), &order.seen.items)?;
        context.terminal.hint(&format!(
            "To retry after an upgrade or a repair:  posthaste parked release {0}\n\
             To give up and end the order:          posthaste parked fail {0}",
            args.order.as_str()
        ));
        return Ok(());
    }
    output.one(&order, &columns(), &order.seen.items, |_, _| Ok(()))
}

/// Prints the response for programs, or a sentence for people.
fn say<T>(context: &Context, thing: &ApiResponse<T>, sentence: &str) -> Result<()> {
    let columns = [Column {
        title: "Answer",
        cell: |response: &ApiResponse<T>, _: &Reader<'_>| response.raw.to_string(),
    }];
    let write = |out: &mut dyn Write, _: &Reader<'_>| writeln!(out, "{sentence}");
    context.output(Format::Table).one(thing, &columns, std::slice::from_ref(thing), write)
}

async fn release(args: &OrderArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let response = client.release_parked(args.order.as_str()).await?;
    let released = response.seen.released_count;
    say(
        context,
        &response,
        &format!("{released} released; those that still can't be read are parked again shortly"),
    )
}

async fn fail(args: &OrderArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order = client.parked_order(args.order.as_str()).await?;
    let count = order.seen.items.len();
    context
        .terminal
        .confirm(&format!("End the order {} ({count} parked)? This can't be undone.", args.order.as_str()))?;
    let response = client.fail_parked(args.order.as_str()).await?;
    let sentence = match response.seen.removed {
        true => "The whole order was removed; from now on it is reported as ended".to_owned(),
        false => format!("{} deliveries ended", response.seen.delivery_count),
    };
    say(context, &response, &sentence)
}
