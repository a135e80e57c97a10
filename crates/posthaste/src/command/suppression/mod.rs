//! `posthaste suppression`: addresses that get no messages.

mod addresses;

use std::io::{self, Write};

use posthaste_client::{ApiResponse, DeletedCount, Found, FoundList, PutCount, Suppression};
use posthaste_model::{Address, Channel};
use posthaste_store::SuppressionId;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Value, json};

use self::addresses::{Given, Which};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, Reader, suppressed};

const EXAMPLES: &str = "\
Examples:
  posthaste suppression lookup --channel email ann@example.org
  posthaste suppression add --channel email --from complaints.txt
  posthaste suppression delete --channel sms +79991234567
  posthaste suppression list --channel email -o ndjson > all.ndjson
";

/// The commands about suppressions.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// List the entries of a channel: hashes of addresses, never addresses.
    List(ListArgs),
    /// Check whether addresses are suppressed, and why.
    Lookup(LookupArgs),
    /// Suppress addresses: they get no messages from now on.
    Add(AddArgs),
    /// Delete suppressions: the addresses get messages again.
    Delete(DeleteArgs),
}

/// Arguments of `posthaste suppression list`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// The channel.
    #[arg(long, value_name = "CHANNEL")]
    channel: Channel,
    /// Maximum number of entries; default: all.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

/// Arguments of `posthaste suppression lookup`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct LookupArgs {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `posthaste suppression add`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `posthaste suppression delete`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct DeleteArgs {
    /// Id of the entry as shown by `list` and `lookup`, instead of addresses.
    #[arg(long, value_name = "ID", conflicts_with_all = ["sender", "from", "addresses"])]
    id: Option<SuppressionId>,
    #[command(flatten)]
    which: Which,
}

/// Runs a command.
///
/// # Errors
/// The queue does not respond, or rejects the request.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List(args) => list(&args, context).await,
        Command::Lookup(args) => lookup(&args.which, context).await,
        Command::Add(args) => add(&args.which, context).await,
        Command::Delete(args) => delete(&args, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let output = context.output(Format::Table);
    let columns = [
        Column { title: "Id", cell: |entry: &ApiResponse<Suppression>, _| entry.seen.id.clone() },
        Column { title: "Scope", cell: |entry, _| entry.seen.scope.clone() },
        Column { title: "Active", cell: |entry, reader| reader.answer(Some(entry.seen.active)) },
        Column { title: "Reason", cell: |entry, reader| reason(&entry.seen, reader) },
        Column { title: "Provider code", cell: |entry, _| provider_code(&entry.seen) },
        Column { title: "Source", cell: |entry, _| entry.seen.source.clone() },
        Column { title: "Created at", cell: |entry, reader| reader.moment(Some(&entry.seen.created_at)) },
        Column { title: "Failure count", cell: |entry, _| entry.seen.failure_count.to_string() },
    ];
    let mut rows = output.rows(&columns, io::stdout());
    let (mut left, mut cursor) = (args.limit.unwrap_or(usize::MAX), None::<String>);
    while left > 0 {
        let page = client.suppressions(&args.channel, left.clamp(1, 1_000), cursor.as_deref()).await?;
        for entry in page.items.iter().take(left) {
            rows.push(entry)?;
        }
        left = left.saturating_sub(page.items.len());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    rows.end().map(drop)
}

/// One line of `lookup`: for people, one entry of an address, or that it has none; for programs, the address with all its
/// entries.
struct Line {
    address: Address,
    found: Found,
    entry: Option<usize>,
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut line = to.serialize_struct("Line", 3)?;
        line.serialize_field("address", self.address.expose())?;
        line.serialize_field("suppressed", &self.found.suppressed)?;
        line.serialize_field("entries", &self.found.entries)?;
        line.end()
    }
}

impl Line {
    fn of(&self, part: impl FnOnce(&Suppression) -> String) -> String {
        let entry = self.entry.and_then(|at| self.found.entries.get(at));
        entry.map(|entry| part(&entry.seen)).unwrap_or_default()
    }
}

async fn lookup(which: &Which, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let all = which.read()?;
    let output = context.output(Format::Table);
    let for_programs = matches!(output.format(), Format::Json | Format::Ndjson);
    let columns = [
        Column { title: "Address", cell: |line: &Line, _| line.address.expose().to_owned() },
        Column { title: "Suppressed", cell: |line, reader| reader.answer(Some(line.found.suppressed)) },
        Column { title: "Scope", cell: |line, _| line.of(|entry| entry.scope.clone()) },
        Column { title: "Active", cell: |line, reader| line.of(|entry| reader.answer(Some(entry.active))) },
        Column { title: "Reason", cell: |line, reader| line.of(|entry| reason(entry, reader)) },
        Column { title: "Provider code", cell: |line, _| line.of(provider_code) },
        Column { title: "Source", cell: |line, _| line.of(|entry| entry.source.clone()) },
        Column {
            title: "Created at",
            cell: |line, reader| line.of(|entry| reader.moment(Some(&entry.created_at))),
        },
        Column { title: "Failure count", cell: |line, _| line.of(|entry| entry.failure_count.to_string()) },
        Column { title: "Id", cell: |line, _| line.of(|entry| entry.id.clone()) },
    ];
    let mut rows = output.rows(&columns, io::stdout());
    let write = |given: &[Given], response: FoundList| {
        for (given, found) in given.iter().zip(response.items) {
            let entries = if for_programs { 0 } else { found.entries.len() };
            let mut line = Line { address: given.address.clone(), found, entry: None };
            if entries == 0 {
                rows.push(&line)?;
            }
            for at in 0..entries {
                line.entry = Some(at);
                rows.push(&line)?;
            }
        }
        Ok(())
    };
    which.ask(&all, async |batch| client.look_up_suppressions(batch).await, write).await?;
    rows.end().map(drop)
}

/// Why the address is suppressed, for this reader.
fn reason(entry: &Suppression, reader: &Reader<'_>) -> String {
    suppressed(&entry.reason, entry.provider_code, reader)
}

fn provider_code(entry: &Suppression) -> String {
    entry.provider_code.map(|code| code.to_string()).unwrap_or_default()
}

/// Prints two counts: a sentence for people, an object for programs.
fn counts(
    context: &Context,
    names: [&'static str; 2],
    (first, second): (u64, u64),
    sentence: String,
) -> Result<()> {
    let thing = json!({names[0]: first, names[1]: second});
    let columns: [Column<Value>; 2] = match names {
        ["added_count", _] => [
            Column { title: "Added count", cell: |response, _| response["added_count"].to_string() },
            Column { title: "Unchanged count", cell: |response, _| response["unchanged_count"].to_string() },
        ],
        _ => [
            Column { title: "Deleted count", cell: |response, _| response["deleted_count"].to_string() },
            Column { title: "Not found count", cell: |response, _| response["not_found_count"].to_string() },
        ],
    };
    let write = |out: &mut dyn Write, _: &Reader<'_>| writeln!(out, "{sentence}");
    context.output(Format::Table).one(&thing, &columns, std::slice::from_ref(&thing), write)
}

async fn add(which: &Which, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let all = which.read()?;
    let (mut added, mut unchanged) = (0, 0);
    which
        .ask(
            &all,
            async |batch| client.add_suppressions(batch).await,
            |_, response: PutCount| {
                added += response.added_count;
                unchanged += response.unchanged_count;
                Ok(())
            },
        )
        .await?;
    let sentence = format!("{added} added to the {} list, {unchanged} were already on it", which.channel);
    counts(context, ["added_count", "unchanged_count"], (added, unchanged), sentence)
}

async fn delete(args: &DeleteArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let channel = &args.which.channel;
    let who = "They get messages again, even if they opted out.";
    let (deleted, not_found) = if let Some(id) = &args.id {
        context.terminal.confirm(&format!("Delete the {channel} suppression {id}? {who}"))?;
        client.delete_suppression(channel, &id.to_string()).await?;
        (1, 0)
    } else {
        let all = args.which.read()?;
        context
            .terminal
            .confirm(&format!("Delete suppressions on {channel} (addresses: {})? {who}", all.len()))?;
        let (mut deleted, mut not_found) = (0, 0);
        args.which
            .ask(
                &all,
                async |batch| client.delete_suppressions(batch).await,
                |_, response: DeletedCount| {
                    deleted += response.deleted_count;
                    not_found += response.not_found_count;
                    Ok(())
                },
            )
            .await?;
        (deleted, not_found)
    };
    let sentence = format!("{deleted} deleted, {not_found} were not on the {channel} list");
    counts(context, ["deleted_count", "not_found_count"], (deleted, not_found), sentence)
}
