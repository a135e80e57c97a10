//! `posthaste order recipients`.

use posthaste_client::{ApiResponse, Recipient, RecipientQuery, UnreadableDeliveries};
use posthaste_model::Channel;

use super::order_id::OrderIdArg;
use super::show::last_words;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, suppressed};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste order recipients teacher.1763676000000000000 --failed
  posthaste order recipients teacher.1763676000000000000 --channel email --state pending
  posthaste order export teacher.1763676000000000000 > all.csv          (all, to a file)
";

/// States of deliveries that, as far as is known, did not arrive.
const UNREACHED: [&str; 4] = ["failed", "unknown", "suppressed", "expired"];

/// Which deliveries.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Filter {
    /// Only those the order did not reach: failed, unknown, suppressed, expired.
    #[arg(long, conflicts_with = "state")]
    failed: bool,
    /// Only these states: pending, sending, sent, delivered, failed, unknown, suppressed, expired, cancelled.
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only this channel.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<Channel>,
}

impl Filter {
    /// As the query of a request.
    pub(super) fn query(&self) -> RecipientQuery {
        let states = if self.failed { UNREACHED.map(str::to_owned).to_vec() } else { self.state.clone() };
        RecipientQuery { channel: self.channel.clone(), states }
    }
}

/// Arguments of `posthaste order recipients`.
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

/// Lists recipients.
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
        let page = client.recipients(id, &query, limit, cursor.as_deref()).await?;
        for row in page.items.iter().take(left) {
            some_sent |= row.seen.state == "sent";
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
    let deliveries = if unreadable.deliveries == 1 { "delivery" } else { "deliveries" };
    format!("{} {deliveries} on {channel} can't be read ({why})", unreadable.deliveries)
}

/// The columns of recipients.
pub(super) fn columns() -> [Column<ApiResponse<Recipient>>; 10] {
    [
        Column { title: "Recipient", cell: |row, _| row.seen.recipient_id.clone().unwrap_or_default() },
        Column { title: "Name", cell: |row, _| row.seen.name.expose().to_owned() },
        Column { title: "Channel", cell: |row, _| row.seen.channel.clone() },
        Column { title: "Address", cell: |row, _| row.seen.address.expose().to_owned() },
        Column { title: "State", cell: |row, _| row.seen.state.clone() },
        Column {
            title: "Reason",
            cell: |row, reader| match &row.seen.reason {
                Some(reason) if row.seen.state == "suppressed" => suppressed(reason, reader),
                Some(reason) if reason != "none" => reason.clone(),
                _ => String::new(),
            },
        },
        Column {
            title: "Attempts",
            cell: |row, _| row.seen.attempts.map(|attempts| attempts.to_string()).unwrap_or_default(),
        },
        Column { title: "Updated at", cell: |row, reader| reader.moment(row.seen.updated_at.as_deref()) },
        Column { title: "Next at", cell: |row, reader| reader.moment(row.seen.next_at.as_deref()) },
        Column {
            title: "Waits for",
            cell: |row, _| plain(row.seen.waits_for.as_deref().unwrap_or_default()),
        },
    ]
}
