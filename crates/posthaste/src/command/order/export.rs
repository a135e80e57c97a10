//! `posthaste order export`: all deliveries of an order, in bounded memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use futures::StreamExt;
use reqwest::{Method, header};

use super::OrderIdArg;
use super::deliveries::{Filter, columns};
use crate::api::{ApiResponse, Client, Delivery, DeliveryLine, UnreadableDeliveries};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};
use crate::output::{Format, Rows};

const EXAMPLES: &str = "\
Examples:
  posthaste order export teacher.1763676000000000000 > all.csv
  posthaste order export teacher.1763676000000000000 --failed --to failed.csv
  posthaste order export teacher.1763676000000000000 -o ndjson | jq -r .reason | sort | uniq -c
";

/// Longer lines are rejected.
const LONGEST_LINE: usize = 256 * 1024;

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
    /// Put an apostrophe before CSV cells that a spreadsheet would treat as formulas (they begin with = + - @). Such a file
    /// does not read back unchanged.
    #[arg(long)]
    for_spreadsheet: bool,
}

/// Exports the deliveries.
///
/// # Errors
/// The queue does not respond, there is no such order, or the file cannot be written.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let output = context.output(Format::Csv);
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
    let mut rows = output.rows(&columns, to).for_spreadsheet(args.for_spreadsheet);
    let unreadable = read(&client, &args, &mut rows).await?;
    let count = rows.end()?;
    for rows in &unreadable {
        context.terminal.warn(&format!(
            "{}: see  posthaste parked show {}",
            rows.words(),
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
    rows: &mut Rows<'_, ApiResponse<Delivery>, Box<dyn Write>>,
) -> Result<Vec<UnreadableDeliveries>> {
    let mut unreadable = Vec::new();
    let request = client
        .request(Method::GET, &args.order.path("/deliveries"), &args.filter.query())
        .header(header::ACCEPT, "application/x-ndjson");
    let mut pieces = client.stream(request).await?.bytes_stream();
    let mut held: Vec<u8> = Vec::new();
    loop {
        let piece = match tokio::time::timeout(client.silence(), pieces.next()).await {
            Ok(Some(piece)) => piece.map_err(|error| client.lost(error))?,
            Ok(None) => break,
            Err(_) => {
                return Err(Failure::new(
                    Kind::Unreachable,
                    "the server stopped sending data; the export is incomplete",
                ));
            }
        };
        held.extend_from_slice(&piece);
        let mut begin = 0;
        while let Some(length) = held[begin..].iter().position(|b| *b == b'\n') {
            unreadable.extend(row(client, &held[begin..begin + length], rows)?);
            begin += length + 1;
        }
        held.drain(..begin);
        if held.len() > LONGEST_LINE {
            return Err(Failure::error("the server sent a line that is too long to be a delivery"));
        }
    }
    unreadable.extend(row(client, &held, rows)?);
    Ok(unreadable)
}

/// Writes the delivery of a line, or returns the deliveries that the line reports as unreadable.
fn row(
    client: &Client,
    line: &[u8],
    rows: &mut Rows<'_, ApiResponse<Delivery>, Box<dyn Write>>,
) -> Result<Option<UnreadableDeliveries>> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(line).map_err(|error| client.not_understood(error))? {
        DeliveryLine::Delivery(row) => rows.push(&*row).map(|()| None),
        DeliveryLine::Unreadable(unreadable) => Ok(Some(unreadable)),
    }
}
