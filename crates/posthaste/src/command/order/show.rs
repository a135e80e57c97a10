//! `posthaste order show`.

use std::io::{self, Write};

use posthaste_client::{DeliveryCounters, Order};

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
    counters: DeliveryCounters,
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
    let output = context.output(Format::Table);
    let rows = channel_rows(&order.seen);
    output.one(&order, &columns(), &rows, |out, reader| write_order(out, reader, &order.seen))?;
    if output.format() == Format::Table {
        hints(&order.seen, context);
    }
    Ok(())
}

/// Writes an order for people.
pub(super) fn write_order(out: &mut dyn Write, reader: &Reader<'_>, order: &Order) -> io::Result<()> {
    writeln!(out, "Order      {}", plain(&order.order_id))?;
    writeln!(out, "State      {}", plain(&order.state.replace('_', " ")))?;
    let mut fact = |title: &str, text: Option<String>| match text {
        Some(text) => writeln!(out, "{title:<10} {text}"),
        None => Ok(()),
    };
    let moment = |moment: &Option<String>| moment.as_deref().map(|moment| reader.moment(Some(moment)));
    fact("Sender", order.sender_id.as_deref().map(plain))?;
    fact("Priority", order.priority.as_deref().map(plain))?;
    fact("Retry of", order.retry_of.as_deref().map(plain))?;
    fact("Accepted", moment(&order.accepted_at))?;
    fact("Due", moment(&order.due_at))?;
    fact("Not after", moment(&order.not_after))?;
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
    let id = plain(&order.order_id);
    if !order.is_final() {
        context.terminal.hint(&format!("Watch it:  posthaste order watch {id}"));
    }
    if order.totals.unreached() > 0 {
        context
            .terminal
            .hint(&format!("Who did not get it, and why:  posthaste order recipients {id} --failed"));
    }
    // Suppressed deliveries can't be retried: their addresses get no messages.
    let again = [
        ("failed", order.totals.failed),
        ("expired", order.totals.expired),
        ("unknown", order.totals.unknown),
    ];
    let states: Vec<&str> = again.iter().filter(|(_, count)| *count > 0).map(|(state, _)| *state).collect();
    if !states.is_empty() {
        let states =
            if states == ["failed"] { String::new() } else { format!(" --state {}", states.join(",")) };
        context
            .terminal
            .hint(&format!("Send again, to those only:    posthaste order retry {id}{states} --watch"));
    }
}

fn channel_rows(order: &Order) -> Vec<ChannelRow> {
    let channels = order.counters.iter();
    let mut rows: Vec<ChannelRow> = channels
        .map(|(channel, counters)| ChannelRow {
            channel: channel.clone(),
            counters: *counters,
            receipts: order.receipts.get(channel).copied().flatten(),
        })
        .collect();
    if rows.len() > 1 {
        rows.push(ChannelRow { channel: "all".to_owned(), counters: order.totals, receipts: None });
    }
    rows
}

fn columns() -> [Column<ChannelRow>; 13] {
    [
        Column { title: "Channel", cell: |row, _| row.channel.clone() },
        Column { title: "Rows", cell: |row, _| row.counters.accepted.to_string() },
        Column { title: "Delivered", cell: |row, _| row.counters.delivered.to_string() },
        Column { title: "Sent", cell: |row, _| row.counters.sent.to_string() },
        Column { title: "Failed", cell: |row, _| row.counters.failed.to_string() },
        Column { title: "Unknown", cell: |row, _| row.counters.unknown.to_string() },
        Column { title: "Suppressed", cell: |row, _| row.counters.suppressed.to_string() },
        Column { title: "Expired", cell: |row, _| row.counters.expired.to_string() },
        Column { title: "Cancelled", cell: |row, _| row.counters.cancelled.to_string() },
        Column { title: "Sending", cell: |row, _| row.counters.sending.to_string() },
        Column { title: "Pending", cell: |row, _| row.counters.pending.to_string() },
        Column { title: "No contact", cell: |row, _| row.counters.no_contact.to_string() },
        Column { title: "Receipts", cell: |row, reader| reader.answer(row.receipts) },
    ]
}
