//! `posthaste order export`: all deliveries of an order, in bounded memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use futures::StreamExt;
use posthaste_client::{ApiError, ApiResponse, Client, DeliveryLine, OrderDelivery, UnreadableDeliveries};

use super::deliveries::{Filter, columns, unreadable_words};
use super::order_id::OrderIdArg;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};
use crate::output::{CsvStyle, Format, Rows};

const EXAMPLES: &str = "\
Examples:
  posthaste order export teacher.1763676000000000000 > all.csv
  posthaste order export teacher.1763676000000000000 --failed --to failed.csv
  posthaste order export teacher.1763676000000000000 --for-spreadsheet --delimiter \";\" --to all.csv
  posthaste order export teacher.1763676000000000000 -o ndjson | jq -r .reason | sort | uniq -c
";

/// Arguments of `posthaste order export`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The order.
    order: OrderIdArg,
    #[command(flatten)]
    filter: Filter,
    /// Write to this file instead of standard output. It must not exist.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write CSV that a spreadsheet opens safely: with a byte order mark, and with an apostrophe before = + - @ wherever a
    /// formula could begin. `posthaste send --to` removes these apostrophes again.
    #[arg(long)]
    for_spreadsheet: bool,
    /// Begin the CSV file with a byte order mark, by which Excel recognizes UTF-8. --for-spreadsheet includes it.
    #[arg(long)]
    bom: bool,
    /// The delimiter of the CSV file: , ; | or tab. Excel expects ; where the decimal separator is a comma.
    #[arg(long, value_name = "CHARACTER", value_parser = crate::command::send::delimiter)]
    delimiter: Option<u8>,
}

/// Exports the deliveries.
///
/// # Errors
/// The queue does not respond, there is no such order, or the file cannot be written.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let output = context.output(Format::Csv);
    let style = CsvStyle {
        delimiter: args.delimiter,
        mark: args.bom || args.for_spreadsheet,
        escaped: args.for_spreadsheet,
    };
    if output.format() != Format::Csv && style != CsvStyle::default() {
        return Err(Failure::usage("--for-spreadsheet, --bom and --delimiter are for CSV")
            .remedy("Leave them out, or use -o csv."));
    }
    let columns = columns();
    let to: Box<dyn Write> = match &args.to {
        Some(path) => {
            let file = File::create_new(path).map_err(|error| {
                Failure::error(format!("cannot create {}", path.display())).because(error)
            })?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let mut rows = output.rows_as(style, &columns, to);
    let unreadable = read(&client, &args, &mut rows).await?;
    let count = rows.end()?;
    for rows in &unreadable {
        context.terminal.warn(&format!(
            "{}: see  posthaste parked show {}",
            unreadable_words(rows),
            args.order.as_str()
        ));
    }
    if let Some(path) = &args.to {
        context.terminal.note(&format!("{count} deliveries written to {}", path.display()));
    }
    Ok(())
}

async fn read(
    client: &Client,
    args: &Args,
    rows: &mut Rows<'_, ApiResponse<OrderDelivery>, Box<dyn Write>>,
) -> Result<Vec<UnreadableDeliveries>> {
    let mut unreadable = Vec::new();
    let mut lines = client.export_deliveries(args.order.as_str(), &args.filter.query()).await?;
    while let Some(line) = lines.next().await {
        match line {
            Ok(DeliveryLine::Delivery(row)) => rows.push(&*row)?,
            Ok(DeliveryLine::Unreadable(deliveries)) => unreadable.push(deliveries),
            Err(error @ ApiError::Silent) => {
                return Err(Failure::new(Kind::Unreachable, format!("{error}; the export is incomplete")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unreadable)
}
