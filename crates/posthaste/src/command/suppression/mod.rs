//! `posthaste suppression`: addresses that get no messages.

mod addresses;

use std::io::{self, Write};

use posthaste_client::{ApiResponse, Found, FoundList, LiftedCount, PutCount, Suppression};
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
  posthaste suppression find --channel email ann@example.org
  posthaste suppression add --channel email --from complaints.txt
  posthaste suppression lift --channel sms +79991234567
  posthaste suppression list --channel email -o ndjson > all.ndjson
";

/// The commands about suppressions.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// List the entries of a channel: hashes of addresses, never addresses.
    List(ListArgs),
    /// Check whether addresses are suppressed, and why.
    Find(FindArgs),
    /// Suppress addresses: they get no messages from now on.
    Add(AddArgs),
    /// Lift suppressions: the addresses get messages again.
    Lift(LiftArgs),
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

/// Arguments of `posthaste suppression find`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct FindArgs {
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

/// Arguments of `posthaste suppression lift`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct LiftArgs {
    /// Id of the entry as shown by `list` and `find`, instead of addresses.
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
        Command::Find(args) => find(&args.which, context).await,
        Command::Add(args) => add(&args.which, context).await,
        Command::Lift(args) => lift(&args, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let output = context.output(Format::Table);
    let columns = [
        Column { title: "Id", cell: |entry: &ApiResponse<Suppression>, _| entry.seen.id.clone() },
        Column { title: "List", cell: |entry, _| entry.seen.list.clone() },
        Column { title: "State", cell: |entry, _| entry.seen.state.clone() },
        Column { title: "Reason", cell: |entry, reader| suppressed(&entry.seen.reason, reader) },
        Column { title: "Source", cell: |entry, _| entry.seen.source.clone() },
        Column { title: "Since", cell: |entry, reader| reader.moment(Some(&entry.seen.since)) },
        Column { title: "Strikes", cell: |entry, _| entry.seen.strikes.to_string() },
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

/// One line of `find`: for people, one entry of an address, or that it has none; for programs, the address with all its
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

async fn find(which: &Which, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let all = which.read()?;
    let output = context.output(Format::Table);
    let for_programs = matches!(output.format(), Format::Json | Format::Ndjson);
    let columns = [
        Column { title: "Address", cell: |line: &Line, _| line.address.expose().to_owned() },
        Column {
            title: "Suppressed",
            cell: |line, _| if line.found.suppressed { "yes" } else { "no" }.to_owned(),
        },
        Column { title: "List", cell: |line, _| line.of(|entry| entry.list.clone()) },
        Column { title: "State", cell: |line, _| line.of(|entry| entry.state.clone()) },
        Column { title: "Reason", cell: |line, reader| line.of(|entry| suppressed(&entry.reason, reader)) },
        Column { title: "Source", cell: |line, _| line.of(|entry| entry.source.clone()) },
        Column { title: "Since", cell: |line, reader| line.of(|entry| reader.moment(Some(&entry.since))) },
        Column { title: "Strikes", cell: |line, _| line.of(|entry| entry.strikes.to_string()) },
        Column { title: "Id", cell: |line, _| line.of(|entry| entry.id.clone()) },
    ];
    let mut rows = output.rows(&columns, io::stdout());
    let write = |given: &[Given], told: FoundList| {
        for (given, found) in given.iter().zip(told.items) {
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
    which.ask(&all, async |batch| client.find_suppressions(batch).await, write).await?;
    rows.end().map(drop)
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
        ["added", _] => [
            Column { title: "Added", cell: |told, _| told["added"].to_string() },
            Column { title: "Unchanged", cell: |told, _| told["unchanged"].to_string() },
        ],
        _ => [
            Column { title: "Lifted", cell: |told, _| told["lifted"].to_string() },
            Column { title: "Not there", cell: |told, _| told["not_there"].to_string() },
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
            |_, told: PutCount| {
                added += told.added;
                unchanged += told.unchanged;
                Ok(())
            },
        )
        .await?;
    let sentence = format!("{added} added to the {} list, {unchanged} were already on it", which.channel);
    counts(context, ["added", "unchanged"], (added, unchanged), sentence)
}

async fn lift(args: &LiftArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let channel = &args.which.channel;
    let who = "They get messages again, even if they opted out.";
    let (lifted, not_there) = if let Some(id) = &args.id {
        context.terminal.confirm(&format!("Lift the {channel} suppression {id}? {who}"))?;
        client.lift_suppression(channel, &id.to_string()).await?;
        (1, 0)
    } else {
        let all = args.which.read()?;
        context
            .terminal
            .confirm(&format!("Lift suppressions on {channel} (addresses: {})? {who}", all.len()))?;
        let (mut lifted, mut not_there) = (0, 0);
        args.which
            .ask(
                &all,
                async |batch| client.lift_suppressions(batch).await,
                |_, told: LiftedCount| {
                    lifted += told.lifted;
                    not_there += told.not_there;
                    Ok(())
                },
            )
            .await?;
        (lifted, not_there)
    };
    let sentence = format!("{lifted} lifted, {not_there} were not on the {channel} list");
    counts(context, ["lifted", "not_there"], (lifted, not_there), sentence)
}
