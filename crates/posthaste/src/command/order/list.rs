//! `posthaste order list`.

use posthaste_client::{ApiResponse, Order, OrderQuery};
use posthaste_model::SenderId;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment;
use crate::output::{Column, Format, tell_missing};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste order list
  posthaste order list --status running
  posthaste order list --created-after \"2026-11-20 00:00\" --limit 1000 -o csv

If a part of the database does not respond, the list is incomplete. A warning on stderr says so, and the last entry of
JSON output is {\"partitions_missing\": [...]}.
";

/// Arguments of `posthaste order list`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only orders of this sender.
    #[arg(long, value_name = "ID")]
    sender: Option<SenderId>,
    /// Only orders with this status.
    #[arg(long, value_name = "STATUS", value_parser = ["scheduled", "running", "finished", "finished_with_failures", "cancelled"])]
    status: Option<String>,
    /// Only orders created at this time or later.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only orders created before this time.
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Maximum number of orders.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Lists orders.
///
/// # Errors
/// The queue does not respond, or rejects the request.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let now = moment::now();
    let read_moment = |flag: &str, text: Option<String>| -> Result<Option<String>> {
        let read = text.map(|text| moment::read(&text, &now)).transpose();
        let read = read.map_err(|why| Failure::usage(format!("--{flag}: {why}")))?;
        Ok(read.map(|moment| moment.to_string()))
    };
    let mut query = OrderQuery {
        sender_id: args.sender,
        status: args.status,
        created_after: read_moment("created-after", args.created_after)?,
        created_before: read_moment("created-before", args.created_before)?,
        ..OrderQuery::default()
    };
    let output = context.output(Format::Table);
    let columns = columns();
    let mut rows = output.rows(&columns, std::io::stdout());
    let mut left = args.limit;
    let mut missing = std::collections::BTreeSet::new();
    loop {
        query.limit = Some(left.clamp(1, 100));
        let page = client.orders(&query).await?;
        for order in page.items.iter().take(left) {
            rows.push(order)?;
        }
        for order in &page.unreadable {
            let (id, why) = (plain(&order.id), plain(&order.reason.replace('_', " ")));
            context.terminal.warn(&format!("{id} can't be read ({why}): see  posthaste parked show {id}"));
        }
        missing.extend(page.partitions_missing);
        left = left.saturating_sub(page.items.len() + page.unreadable.len());
        query.cursor = page.next_cursor;
        if left == 0 || query.cursor.is_none() {
            break;
        }
    }
    let missing: Vec<u16> = missing.into_iter().collect();
    tell_missing(&mut rows, &missing, "orders", &context.terminal)?;
    let count = rows.end()?;
    if output.format() == Format::Table {
        if count == 0 && missing.is_empty() {
            context
                .terminal
                .hint("No orders. Send one:  posthaste send --to people.csv --text \"Hello\" --watch");
        } else if query.cursor.is_some() {
            context.terminal.hint(&format!("These are the newest {count}. To see more, use --limit."));
        }
    }
    Ok(())
}

/// The columns of a list of orders.
pub(super) fn columns() -> [Column<ApiResponse<Order>>; 9] {
    [
        Column { title: "Id", cell: |order, _| order.seen.id.clone() },
        Column { title: "Status", cell: |order, _| order.seen.status.clone() },
        Column { title: "Created at", cell: |order, reader| reader.moment(order.seen.created_at.as_deref()) },
        Column { title: "Deliver at", cell: |order, reader| reader.moment(order.seen.deliver_at.as_deref()) },
        Column { title: "Total", cell: |order, _| order.seen.counts.total.to_string() },
        Column { title: "Delivered", cell: |order, _| order.seen.counts.delivered.to_string() },
        Column { title: "Sent", cell: |order, _| order.seen.counts.sent.to_string() },
        Column { title: "Failed", cell: |order, _| order.seen.counts.unreached().to_string() },
        Column {
            title: "Open",
            cell: |order, _| (order.seen.counts.pending + order.seen.counts.sending).to_string(),
        },
    ]
}
