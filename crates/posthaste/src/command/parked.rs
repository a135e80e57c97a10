//! `posthaste parked`: orders that can't be read and wait for an operator.

use std::io::{self, Write};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Page, Parked, ParkedOrder, Told};
use crate::command::order::OrderId;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, Reader, tell_missing};
use crate::terminal::plain;

const PATH: &str = "/v1/parked";

const EXAMPLES: &str = "\
Examples:
  posthaste parked list
  posthaste parked show teacher.1763676000000000000
  posthaste parked release teacher.1763676000000000000
  posthaste parked fail teacher.1763676000000000000
";

/// The commands about what is parked.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// List orders and parcels whose records can't be read.
    List(ListArgs),
    /// Show what is parked of an order, and why.
    Show(OrderArgs),
    /// Put an order back for another try: after an upgrade, or when its record was repaired.
    Release(OrderArgs),
    /// End an order: what was not sent fails, what may have been sent is unknown. This can't be undone.
    Fail(OrderArgs),
}

/// Arguments of `posthaste parked list`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// At most so many; without it all.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

/// An order.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct OrderArgs {
    /// The order.
    order: OrderId,
}

/// Runs one of them.
///
/// # Errors
/// The queue does not answer, or refuses.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List(args) => list(&args, context).await,
        Command::Show(args) => show(&args, context).await,
        Command::Release(args) => release(&args, context).await,
        Command::Fail(args) => fail(&args, context).await,
    }
}

fn columns() -> [Column<Told<Parked>>; 5] {
    [
        Column { title: "Order id", cell: |entry, _| entry.seen.order_id.clone() },
        Column { title: "Channel", cell: |entry, _| entry.seen.channel.clone().unwrap_or_default() },
        Column {
            title: "Parcel",
            cell: |entry, _| entry.seen.parcel.map(|parcel| parcel.to_string()).unwrap_or_default(),
        },
        Column { title: "Reason", cell: |entry, reader| reason(entry.seen.reason.as_deref(), reader) },
        Column { title: "Since", cell: |entry, reader| reader.moment(Some(&entry.seen.since)) },
    ]
}

/// What can't be read, in words for people. Programs get the stable word.
fn reason(word: Option<&str>, reader: &Reader<'_>) -> String {
    let word = word.unwrap_or_default();
    if matches!(reader, Reader::Program) {
        return word.to_owned();
    }
    match word {
        "type" => "its key is of another type",
        "head" => "its head is damaged",
        "counters" => "its counters are damaged",
        "member" => "it has no such parcel",
        "outcomes" => "the outcomes of its rows are damaged",
        "content" => "its text is damaged",
        "rows" => "its recipients are damaged",
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
        let mut query = vec![("limit", left.clamp(1, 500).to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Page<Parked> = client.get(PATH, &query).await?;
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
        context.terminal.hint("Nothing is parked: every record could be read.");
    }
    Ok(())
}

async fn show(args: &OrderArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order: Told<ParkedOrder> = client.get(&path(&args.order, ""), &[]).await?;
    let output = context.output(Format::Table);
    if output.format() == Format::Table {
        output.list(&columns(), &order.seen.items)?;
        context.terminal.hint(&format!(
            "Repaired, or upgraded since?  posthaste parked release {0}\nGiven up?  posthaste parked fail {0}",
            args.order.as_str()
        ));
        return Ok(());
    }
    output.one(&order, &columns(), &order.seen.items, |_, _| Ok(()))
}

fn path(order: &OrderId, verb: &str) -> String {
    format!("{PATH}/{}{verb}", order.as_str())
}

/// A thing for programs, a sentence for people.
fn say(context: &Context, thing: &Told<Value>, sentence: &str) -> Result<()> {
    let columns =
        [Column { title: "Answer", cell: |told: &Told<Value>, _: &Reader<'_>| told.raw.to_string() }];
    let write = |out: &mut dyn Write, _: &Reader<'_>| writeln!(out, "{sentence}");
    context.output(Format::Table).one(thing, &columns, std::slice::from_ref(thing), write)
}

async fn release(args: &OrderArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let told: Told<Value> = client.send(Method::POST, &path(&args.order, "/release"), &json!({})).await?;
    let released = &told.seen["released"];
    say(
        context,
        &told,
        &format!("{released} put back; what still can't be read is parked again within moments"),
    )
}

async fn fail(args: &OrderArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let order: Told<ParkedOrder> = client.get(&path(&args.order, ""), &[]).await?;
    let count = order.seen.items.len();
    context
        .terminal
        .confirm(&format!("End the order {} ({count} parked)? This can't be undone.", args.order.as_str()))?;
    let told: Told<Value> = client.send(Method::POST, &path(&args.order, "/fail"), &json!({})).await?;
    let sentence = match told.seen["removed"].as_bool() {
        Some(true) => "The order was removed as a whole; it is told as ended from now on".to_owned(),
        _ => format!("{} rows ended", told.seen["rows"]),
    };
    say(context, &told, &sentence)
}
