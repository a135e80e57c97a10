//! `posthaste outbox`: the messages the sandbox received, as they arrived.

use std::io::{self, Write};
use std::time::Duration;

use posthaste_client::{ApiResponse, Client, ClientOptions, Page};
use serde_json::Value;

use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, Reader};
use crate::settings::web_address;
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste outbox list
  posthaste outbox list --to anna@example.org
  posthaste outbox list --channel sms
  posthaste outbox show 17
  posthaste outbox show 17 --raw > message.eml
";

/// The commands about the outbox.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// List the messages, newest first.
    List(ListArgs),
    /// Show one message.
    Show(ShowArgs),
}

/// Where the outbox is.
#[derive(Debug, clap::Args)]
struct Place {
    /// Address of the outbox; default: that of a running `posthaste dev`.
    #[arg(long, value_name = "URL")]
    outbox: Option<String>,
}

/// Arguments of `posthaste outbox list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only messages to this address.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Only messages of this channel.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<posthaste_model::Channel>,
    /// Maximum number of messages.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `posthaste outbox show`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Id of the message in the list.
    id: u64,
    /// Write the bytes as they arrived.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs a command.
///
/// # Errors
/// The outbox does not respond, or there is no such message.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List(args) => list(&args, context).await,
        Command::Show(args) => show(&args, context).await,
    }
}

fn client(place: &Place, context: &Context) -> Result<Client> {
    let settings = context.settings()?.settings.client;
    let server = match &place.outbox {
        Some(url) => web_address(url, "--outbox http://127.0.0.1:8025")?,
        None => settings.outbox()?,
    };
    Ok(Client::new(ClientOptions { server, token: None, timeout: settings.timeout.get() })?)
}

async fn list(args: &ListArgs, context: &Context) -> Result<()> {
    let client = client(&args.place, context)?;
    let columns = columns();
    let output = context.output(Format::Table);
    let mut rows = output.rows(&columns, io::stdout());
    let (mut left, mut cursor) = (args.limit, None);
    loop {
        let mut query = vec![("limit", left.clamp(1, 100).to_string())];
        query.extend(args.to.clone().map(|to| ("to", to)));
        query.extend(args.channel.as_ref().map(|channel| ("channel", channel.to_string())));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Page<Value> = client.get(&["outbox"], &query).await?;
        for message in page.items.iter().take(left) {
            rows.push(message)?;
        }
        left = left.saturating_sub(page.items.len());
        cursor = page.next_cursor;
        if left == 0 || cursor.is_none() {
            break;
        }
    }
    let count = rows.end()?;
    if output.format() == Format::Table && count == 0 {
        context
            .terminal
            .hint("No messages yet. Send one:  posthaste send --email anna@example.org --text \"Hello\"");
    }
    Ok(())
}

fn columns() -> [Column<ApiResponse<Value>>; 6] {
    [
        Column { title: "Id", cell: |message, _: &Reader<'_>| word(&message.raw["id"]) },
        Column { title: "Came", cell: |message, reader| reader.moment(message.raw["at"].as_str()) },
        Column { title: "Channel", cell: |message, _| word(&message.raw["channel"]) },
        Column { title: "To", cell: |message, _| recipients(&message.raw, MOST_LISTED) },
        Column { title: "Message", cell: |message, _| word(&message.raw["snippet"]) },
        Column { title: "Outcome", cell: |message, _| outcome(&message.raw) },
    ]
}

async fn show(args: &ShowArgs, context: &Context) -> Result<()> {
    let client = client(&args.place, context)?;
    let id = args.id.to_string();
    if args.raw {
        let message = client.fetch(&["outbox", &id, "raw"], &[], Duration::from_secs(60)).await?;
        return Ok(io::stdout().lock().write_all(&message.into_bytes())?);
    }
    let message: ApiResponse<Value> = client.get(&["outbox", &id], &[]).await?;
    let raw = &message.raw;
    context.output(Format::Table).one(&message, &columns(), std::slice::from_ref(&message), |out, reader| {
        let mut fact = |title: &str, text: String| match text.is_empty() {
            true => Ok(()),
            false => writeln!(out, "{title:<8} {}", plain(&text)),
        };
        fact("Channel", word(&raw["channel"]))?;
        fact("From", header(raw, "From").unwrap_or_else(|| word(&raw["sender"])))?;
        fact("Reply-To", header(raw, "Reply-To").unwrap_or_default())?;
        fact("To", recipients(raw, MOST_NAMED))?;
        fact("Subject", word(&raw["subject"]))?;
        fact("Received", reader.moment(raw["at"].as_str()))?;
        fact("Order", word(&raw["order"]))?;
        fact("Outcome", outcome(raw))?;
        fact("Rejected", refused(raw))?;
        fact("Statuses", statuses(raw))?;
        for (at, line) in word(&raw["text"]).lines().enumerate() {
            writeln!(out, "{}{}", if at == 0 { "\n" } else { "" }, plain(line))?;
        }
        Ok(())
    })
}

/// A value without quotes; empty for null.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A header of an e-mail message, as it arrived.
fn header(message: &Value, name: &str) -> Option<String> {
    let named = |header: &&Value| header["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name));
    all(&message["headers"]).iter().find(named).map(|header| word(&header["value"]))
}

/// Recipients named when one message is shown, and in a list; the rest is counted.
const MOST_NAMED: usize = 10;
const MOST_LISTED: usize = 2;

fn recipients(message: &Value, most: usize) -> String {
    let all = all(&message["recipients"]);
    let named: Vec<String> = all.iter().take(most).map(|one| word(&one["address"])).collect();
    let total = message["recipients_total"].as_u64().and_then(|total| usize::try_from(total).ok());
    let more = total.unwrap_or(all.len()).saturating_sub(named.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &rest
}

/// For a message to several recipients: those the provider rejected, with their codes.
fn refused(message: &Value) -> String {
    let all = all(&message["recipients"]);
    if all.len() < 2 {
        return String::new();
    }
    let missed = |one: &&Value| one["code"].as_u64().is_some_and(|code| code / 100 != 2);
    let mut missed = all.iter().filter(missed);
    let named: Vec<String> = missed
        .by_ref()
        .take(MOST_NAMED)
        .map(|one| format!("{} ({})", word(&one["address"]), one["code"]))
        .collect();
    let more = missed.count();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &rest
}

/// Statuses reported after the response, in order.
fn statuses(message: &Value) -> String {
    let one = |later: &Value| [word(&later["status"]), word(&later["code"])].join(" ").trim().to_owned();
    all(&message["http"]["statuses"]).iter().map(one).collect::<Vec<_>>().join(", ")
}

fn outcome(message: &Value) -> String {
    let (total, taken) = (&message["recipients_total"], &message["recipients_taken"]);
    // E-mail is accepted or rejected as a whole.
    let is_part = message["provider"] != "smtp" && total.as_u64().is_some_and(|total| total > 1);
    let part = if is_part { format!("{taken} of {total}") } else { String::new() };
    let words = [word(&message["ending"]), word(&message["code"]), part, word(&message["status"])];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn all(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
