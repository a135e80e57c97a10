//! `posthaste order deliveries`.

use posthaste_model::Channel;

use super::OrderIdArg;
use super::show::last_words;
use crate::api::{ApiResponse, Delivery, Order, Page};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, suppressed};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste order deliveries teacher.1763676000000000000 --failed
  posthaste order deliveries teacher.1763676000000000000 --channel email --status pending
  posthaste order export teacher.1763676000000000000 > all.csv          (all, to a file)
";

/// Statuses of deliveries that, as far as is known, did not arrive.
const UNREACHED: &str = "failed,unknown,suppressed,expired";

/// Which deliveries.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Filter {
    /// Only those the order did not reach: failed, unknown, suppressed, expired.
    #[arg(long, conflicts_with = "status")]
    failed: bool,
    /// Only these statuses: pending, sending, sent, delivered, failed, unknown, suppressed, expired, cancelled.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    /// Only this channel.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<Channel>,
}

impl Filter {
    /// As the query of a request.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.channel.as_ref().map(|channel| ("channel", channel.to_string())));
        if self.failed {
            query.push(("status", UNREACHED.to_owned()));
        } else if !self.status.is_empty() {
            query.push(("status", self.status.join(",")));
        }
        query
    }
}

/// Arguments of `posthaste order deliveries`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The order.
    order: OrderIdArg,
    #[command(flatten)]
    filter: Filter,
    /// Maximum number of deliveries.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Lists deliveries.
///
/// # Errors
/// The queue does not respond, or there is no such order.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let output = context.output(Format::Table);
    let columns = columns();
    let mut rows = output.rows(&columns, std::io::stdout());
    let (mut left, mut cursor, mut some_sent) = (args.limit, None, false);
    loop {
        let mut query = args.filter.query();
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        query.push(("limit", left.clamp(1, 500).to_string()));
        let page: Page<Delivery> = client.get(&args.order.path("/deliveries"), &query).await?;
        for row in page.items.iter().take(left) {
            some_sent |= row.seen.status == "sent";
            rows.push(row)?;
        }
        for unreadable in &page.unreadable_deliveries {
            context.terminal.warn(&format!(
                "{}: see  posthaste parked show {}",
                unreadable.words(),
                args.order.as_str()
            ));
        }
        left = left.saturating_sub(page.items.len());
        cursor = page.next_cursor;
        if left == 0 || cursor.is_none() {
            break;
        }
    }
    let count = rows.end()?;
    if output.format() != Format::Table {
        return Ok(());
    }
    if some_sent {
        let order: ApiResponse<Order> = client.get(&args.order.path(""), &[]).await?;
        last_words(&order.seen).iter().for_each(|line| context.terminal.hint(line));
    }
    if cursor.is_some() {
        let id = args.order.as_str();
        context.terminal.hint(&format!(
            "These are the first {count}. To get all:  posthaste order export {id} > all.csv"
        ));
    }
    Ok(())
}

/// The columns of deliveries.
pub(super) fn columns() -> [Column<ApiResponse<Delivery>>; 11] {
    [
        Column { title: "Recipient id", cell: |row, _| row.seen.recipient_id.clone().unwrap_or_default() },
        Column { title: "Recipient name", cell: |row, _| row.seen.recipient_name.expose().to_owned() },
        Column { title: "Channel", cell: |row, _| row.seen.channel.clone() },
        Column { title: "Address", cell: |row, _| row.seen.address.expose().to_owned() },
        Column { title: "Status", cell: |row, _| row.seen.status.clone() },
        Column {
            title: "Reason",
            cell: |row, reader| match &row.seen.reason {
                Some(reason) if row.seen.status == "suppressed" => {
                    suppressed(reason, row.seen.provider_code, reader)
                }
                Some(reason) if reason != "none" => reason.clone(),
                _ => String::new(),
            },
        },
        Column {
            title: "Provider code",
            cell: |row, _| row.seen.provider_code.map(|code| code.to_string()).unwrap_or_default(),
        },
        Column {
            title: "Attempt count",
            cell: |row, _| row.seen.attempt_count.map(|count| count.to_string()).unwrap_or_default(),
        },
        Column { title: "Updated at", cell: |row, reader| reader.moment(row.seen.updated_at.as_deref()) },
        Column {
            title: "Next attempt at",
            cell: |row, reader| reader.moment(row.seen.next_attempt_at.as_deref()),
        },
        Column {
            title: "Waiting for",
            cell: |row, _| plain(row.seen.waiting_for.as_deref().unwrap_or_default()),
        },
    ]
}
