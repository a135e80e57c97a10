//! `posthaste order deliveries`.

use posthaste_client::{ApiResponse, DeliveryQuery, OrderDelivery, UnreadableDeliveries};
use posthaste_model::Channel;

use super::order_id::OrderIdArg;
use super::show::last_words;
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
const UNREACHED: [&str; 4] = ["failed", "unknown", "suppressed", "expired"];

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
    /// Only the recipient with this id, as given in the order.
    #[arg(long, value_name = "ID")]
    recipient: Option<String>,
}

impl Filter {
    /// As the query of a request.
    pub(super) fn query(&self) -> DeliveryQuery {
        let statuses = if self.failed { UNREACHED.map(str::to_owned).to_vec() } else { self.status.clone() };
        DeliveryQuery { channel: self.channel.clone(), statuses, recipient_id: self.recipient.clone() }
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
    let query = args.filter.query();
    let (mut left, mut cursor, mut some_sent) = (args.limit, None::<String>, false);
    loop {
        let (id, limit) = (args.order.as_str(), left.clamp(1, 500));
        let page = client.deliveries(id, &query, limit, cursor.as_deref()).await?;
        for row in page.items.iter().take(left) {
            some_sent |= row.seen.status == "sent";
            rows.push(row)?;
        }
        for unreadable in &page.unreadable_deliveries {
            context.terminal.warn(&format!(
                "{}: see  posthaste parked show {}",
                unreadable_words(unreadable),
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
        let order = client.order(args.order.as_str()).await?;
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

/// Deliveries that can't be read, for people: `500 deliveries on email can't be read (damaged)`.
pub(super) fn unreadable_words(unreadable: &UnreadableDeliveries) -> String {
    let (channel, why) = (plain(&unreadable.channel), plain(&unreadable.reason.replace('_', " ")));
    let deliveries = if unreadable.delivery_count == 1 { "delivery" } else { "deliveries" };
    format!("{} {deliveries} on {channel} can't be read ({why})", unreadable.delivery_count)
}

/// The provider's code: `30003`, or reply code and enhanced status of a mail server: `550 5.1.1`.
fn provider_code(delivery: &OrderDelivery) -> String {
    let number = delivery.provider_code.map(|code| code.to_string());
    let enhanced = delivery.enhanced_status.as_deref().map(plain);
    number.into_iter().chain(enhanced).collect::<Vec<_>>().join(" ")
}

/// The columns of deliveries.
pub(super) fn columns() -> [Column<ApiResponse<OrderDelivery>>; 11] {
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
        Column { title: "Provider code", cell: |row, _| provider_code(&row.seen) },
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
