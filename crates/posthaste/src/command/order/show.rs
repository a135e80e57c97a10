//! `posthaste order show`.

use std::io::{self, Write};

use posthaste_client::{ApiResponse, DeliveryCounts, Order};

use super::order_id::OrderIdArg;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{self, Column, Format, Reader};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste order show teacher.1763676000000000000
  posthaste order show teacher.1763676000000000000 -o json
";

/// Arguments of `posthaste order show`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The order.
    order: OrderIdArg,
}

/// Counts of one channel.
#[derive(serde::Serialize)]
struct ChannelRow {
    channel: String,
    #[serde(skip)]
    counts: DeliveryCounts,
    #[serde(skip)]
    receipts: Option<bool>,
}

/// Shows an order.
///
/// # Errors
/// The queue does not respond, or there is no such order.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order = client.order(args.order.as_str()).await?;
    print(&order, context)
}

/// Writes an order to standard output in the requested format.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(order: &ApiResponse<Order>, context: &Context) -> Result<()> {
    let output = context.output(Format::Table);
    let rows = channel_rows(&order.seen);
    output.one(order, &columns(), &rows, |out, reader| write_order(out, reader, &order.seen))?;
    if output.format() == Format::Table {
        hints(&order.seen, context);
    }
    Ok(())
}

/// Writes an order for people.
pub(super) fn write_order(out: &mut dyn Write, reader: &Reader<'_>, order: &Order) -> io::Result<()> {
    writeln!(out, "Order      {}", plain(&order.id))?;
    writeln!(out, "Status     {}", plain(&order.status.replace('_', " ")))?;
    let mut fact = |title: &str, text: Option<String>| match text {
        Some(text) => writeln!(out, "{title:<10} {text}"),
        None => Ok(()),
    };
    let moment = |moment: &Option<String>| moment.as_deref().map(|moment| reader.moment(Some(moment)));
    fact("Sender", order.sender_id.as_deref().map(plain))?;
    fact("Priority", order.priority.as_deref().map(plain))?;
    fact("Retry of", order.retry_of.as_deref().map(plain))?;
    fact("Created", moment(&order.created_at))?;
    fact("Due", moment(&order.deliver_at))?;
    fact("Expires", moment(&order.expires_at))?;
    fact("Finished", moment(&order.finished_at))?;
    write!(out, "\n{}", output::table(&columns(), &channel_rows(order), reader))?;
    match last_words(order) {
        lines if lines.is_empty() => Ok(()),
        lines => writeln!(out, "\n{}", lines.join("\n")),
    }
}

/// What "sent" means on each channel that has sent deliveries: whether a receipt may still follow.
pub(super) fn last_words(order: &Order) -> Vec<String> {
    let on = |word_comes| order.sent_on(word_comes).into_iter().map(plain).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    let (more, last) = (on(true), on(false));
    if !more.is_empty() {
        lines.push(format!(
            "Sent on {more}: the provider accepted the message and will report whether it arrived."
        ));
    }
    if !last.is_empty() {
        lines.push(format!(
            "Sent on {last}: the provider accepted the message; there are no receipts, so arrival is never confirmed."
        ));
    }
    lines
}

/// Prints possible next steps for an order.
pub(super) fn hints(order: &Order, context: &Context) {
    let id = plain(&order.id);
    if !order.is_final() {
        context.terminal.hint(&format!("Watch it:  posthaste order watch {id}"));
    }
    if order.counts.unreached() > 0 {
        context
            .terminal
            .hint(&format!("Who did not get it, and why:  posthaste order deliveries {id} --failed"));
    }
    // Suppressed deliveries can't be retried: their addresses get no messages.
    let again = [
        ("failed", order.counts.failed),
        ("expired", order.counts.expired),
        ("unknown", order.counts.unknown),
    ];
    let again = again.iter().filter(|(_, count)| *count > 0);
    let statuses: Vec<&str> = again.map(|(status, _)| *status).collect();
    if !statuses.is_empty() {
        let statuses =
            if statuses == ["failed"] { String::new() } else { format!(" --status {}", statuses.join(",")) };
        context
            .terminal
            .hint(&format!("Send again, to those only:    posthaste order retry {id}{statuses} --watch"));
    }
}

fn channel_rows(order: &Order) -> Vec<ChannelRow> {
    let channels = order.channel_counts.iter();
    let mut rows: Vec<ChannelRow> = channels
        .map(|(channel, counts)| ChannelRow {
            channel: channel.clone(),
            counts: *counts,
            receipts: order.delivery_receipts.get(channel).copied().flatten(),
        })
        .collect();
    if rows.len() > 1 {
        rows.push(ChannelRow { channel: "all".to_owned(), counts: order.counts, receipts: None });
    }
    rows
}

fn columns() -> [Column<ChannelRow>; 13] {
    [
        Column { title: "Channel", cell: |row, _| row.channel.clone() },
        Column { title: "Total", cell: |row, _| row.counts.total.to_string() },
        Column { title: "Delivered", cell: |row, _| row.counts.delivered.to_string() },
        Column { title: "Sent", cell: |row, _| row.counts.sent.to_string() },
        Column { title: "Failed", cell: |row, _| row.counts.failed.to_string() },
        Column { title: "Unknown", cell: |row, _| row.counts.unknown.to_string() },
        Column { title: "Suppressed", cell: |row, _| row.counts.suppressed.to_string() },
        Column { title: "Expired", cell: |row, _| row.counts.expired.to_string() },
        Column { title: "Cancelled", cell: |row, _| row.counts.cancelled.to_string() },
        Column { title: "Sending", cell: |row, _| row.counts.sending.to_string() },
        Column { title: "Pending", cell: |row, _| row.counts.pending.to_string() },
        Column { title: "No contact", cell: |row, _| row.counts.no_contact.to_string() },
        Column { title: "Delivery receipts", cell: |row, reader| reader.answer(row.receipts) },
    ]
}
