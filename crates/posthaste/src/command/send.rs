//! `posthaste send`: sends one message to recipients from a file, from standard input, or from the command line.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use posthaste_client::{
    Accepted, AddressMode, ApiError, ApiResponse, Client, InvalidParts, OrderRequest, OrderSender,
    Submission, fresh_idempotency_key,
};
use posthaste_model::{Address, Channel, OnUnknown, Priority, SenderId, Text};
use posthaste_people_file::{Map, Options, People, Source, encoding_of};

use super::order::watch;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment;
use crate::terminal::plain;
use crate::upload::{self, OnInvalid, Upload, Uploaded};

mod given;
mod summary;

const EXAMPLES: &str = "\
Examples:
  posthaste send --to people.csv --subject \"Snow\" --text \"The school is closed today.\" --watch
  posthaste send --email a@example.org --text \"Hello\"
  posthaste send --to people.csv --file letter.txt --at \"tomorrow 09:00\" --dry-run
  cat people.csv | posthaste send --to - --map \"Write to=email\" --text \"Hello\" --on-invalid skip
  posthaste send --to people.csv --text \"Hello\" --watch | jq .order.counts
";

/// A message text larger than this is rejected.
const LONGEST_TEXT: u64 = 4 * 1024 * 1024;

/// Arguments of `posthaste send`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// CSV file of recipients (RFC 4180), or - for standard input. Delimiter, encoding and columns are detected. Unclosed or
    /// stray quotes are reported with their line, and nothing is sent.
    #[arg(long, value_name = "FILE", help_heading = "Recipients")]
    to: Option<Source>,
    #[command(flatten)]
    given: given::Addresses,
    /// What a column of the file contains: "Write to=email", "3=name", "Old phone=ignore". May be repeated.
    #[arg(long, value_name = "COLUMN=FIELD", help_heading = "Recipients")]
    map: Vec<Map>,
    /// What to do about invalid rows and addresses.
    #[arg(long, value_enum, default_value = "reject", help_heading = "Recipients")]
    on_invalid: OnInvalid,
    /// The delimiter, if the detected one is wrong: , ; | or tab.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter, help_heading = "Recipients")]
    delimiter: Option<u8>,
    /// The encoding, if the detected one is wrong: utf-8, windows-1251, koi8-r, cp866 and so on.
    #[arg(long, value_name = "NAME", value_parser = encoding_of, help_heading = "Recipients")]
    encoding: Option<&'static encoding_rs::Encoding>,
    /// Send to every address of a recipient, not only to the first one of each channel.
    #[arg(long, help_heading = "Recipients")]
    all_addresses: bool,
    /// Treat rows with the same id as one recipient even if their addresses differ: the first row is used.
    #[arg(long, help_heading = "Recipients")]
    merge_ids: bool,
    #[arg(long, value_name = "CHANNEL", help_heading = "Recipients", help = given::channel_help())]
    channel: Vec<Channel>,

    /// The text of the message.
    #[arg(long, value_name = "TEXT", help_heading = "Message", conflicts_with = "file")]
    text: Option<String>,
    /// File with the text, or - for standard input.
    #[arg(long, value_name = "FILE", help_heading = "Message")]
    file: Option<Source>,
    /// The subject, for channels that support one.
    #[arg(long, value_name = "TEXT", help_heading = "Message")]
    subject: Option<String>,
    /// File with the text as HTML, for channels that support it.
    #[arg(long, value_name = "FILE", help_heading = "Message")]
    html: Option<PathBuf>,
    /// The mailbox that e-mail is sent from, if the API key may send from it. Default: the address of the installation.
    #[arg(long, value_name = "MAILBOX", value_parser = mailbox, help_heading = "Message")]
    from: Option<Address>,
    /// The mailbox that replies to e-mail go to, if the API key may use it.
    #[arg(long, value_name = "MAILBOX", value_parser = mailbox, help_heading = "Message")]
    reply_to: Option<Address>,

    /// When to send: "2026-12-24 09:00", "09:00", "tomorrow 09:00", "+2h30m". Default: now.
    #[arg(long, value_name = "TIME", help_heading = "Schedule and options")]
    at: Option<String>,
    /// Messages that could not be sent by this time expire. Same forms as --at.
    #[arg(long, value_name = "TIME", help_heading = "Schedule and options")]
    expires_at: Option<String>,
    /// Priority: urgent or bulk. Urgent messages go first.
    #[arg(long, value_name = "PRIORITY", value_parser = priority, help_heading = "Schedule and options")]
    priority: Option<Priority>,
    /// What to do if the outcome of a message is unknown: retry (it may arrive twice) or hold (it may be lost).
    #[arg(long, value_name = "WHAT", value_parser = on_unknown, help_heading = "Schedule and options")]
    on_unknown: Option<OnUnknown>,
    /// Id of the sender, if the API key may choose it.
    #[arg(long, value_name = "ID", help_heading = "Schedule and options")]
    sender: Option<SenderId>,
    /// Role of the sender, if the API key may choose it. It determines the daily limit of orders.
    #[arg(long, value_name = "ROLE", help_heading = "Schedule and options")]
    role: Option<String>,
    /// Repeating the command with the same key within a day sends nothing twice.
    #[arg(long, value_name = "KEY", help_heading = "Schedule and options")]
    idempotency_key: Option<String>,

    /// Check everything, but send nothing.
    #[arg(short = 'n', long, conflicts_with = "watch")]
    dry_run: bool,
    /// Watch the order until it finishes: progress bars on a terminal, NDJSON in a pipe unless -o says otherwise.
    #[arg(long)]
    watch: bool,
    /// With --watch: also wait for the delivery receipts of sent messages, on channels that have them (not e-mail).
    #[arg(long, requires = "watch")]
    receipts: bool,
}

/// Sends the message.
///
/// # Errors
/// Nothing was sent, unless the kind of the failure says otherwise.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    if args.to == Some(Source::Stdin) && args.file == Some(Source::Stdin) {
        return Err(Failure::usage("--to - and --file - can't both read standard input"));
    }
    let (client, settings) = context.client()?;
    let order = order(&args, &settings.sender)?;
    let given = args.given.people();
    let people = match &args.to {
        Some(source) => {
            let options =
                Options { maps: args.map.clone(), delimiter: args.delimiter, encoding: args.encoding };
            let people = People::open(source, &options)?;
            // A guess may be wrong, and the addresses don't show it.
            let doubt =
                if people.is_encoding_guessed() { "; if names look wrong, set --encoding" } else { "" };
            context.terminal.note(&format!("{} ({}{doubt})", people.columns().words(), people.words()));
            Some(people)
        }
        None if given.is_empty() => {
            return Err(Failure::usage("no recipients given")
                .remedy("Give recipients: --to people.csv, or --email a@example.org"));
        }
        None => None,
    };
    let titles = people.as_ref().map(|people| people.columns().clone());
    let key = args.idempotency_key.clone().unwrap_or_else(|| fresh_idempotency_key("cli"));
    let upload = Upload {
        order,
        given,
        people,
        on_invalid: args.on_invalid,
        channels: args.channel.iter().map(Channel::to_string).collect(),
        all_addresses: args.all_addresses,
        merge_ids: args.merge_ids,
    };
    let (answer, uploaded) = send(&client, upload, args.dry_run, &key, progress(context)).await?;
    if let Some(failure) = uploaded.failure {
        return Err(failure);
    }
    if uploaded.errors.count() > 0 && args.on_invalid == OnInvalid::Reject {
        return Err(summary::bad_rows(&uploaded));
    }
    let accepted = match answer {
        Ok(accepted) => accepted,
        Err(error) if error.problem().is_some() => {
            return Err(summary::refused(error, &uploaded, titles.as_ref()));
        }
        Err(error) => {
            let remedy = "It may have been accepted anyway. To try again without sending twice, repeat the command with\n  \
                        --idempotency-key ";
            return Err(Failure::from(error).remedy(format!("{remedy}{key}")));
        }
    };
    summary::skipped(&uploaded, &accepted.seen, titles.as_ref(), context);
    summary::warnings(&accepted.seen, args.dry_run, context);
    let watched = args.watch.then_some(accepted.seen.id.as_deref()).flatten();
    match watched {
        Some(order_id) => {
            context.terminal.note(&format!("order {} accepted", plain(order_id)));
            let ended =
                watch::follow(&client, order_id, watch::Until { receipts: args.receipts }, context).await;
            summary::closing(&uploaded, &accepted.seen, context);
            ended
        }
        None => {
            summary::accepted(&accepted, &uploaded, args.dry_run, context)?;
            summary::closing(&uploaded, &accepted.seen, context);
            Ok(())
        }
    }
}

/// Uploads the order. Returns the queue's response, and what was read.
async fn send(
    client: &Client,
    upload: Upload,
    dry_run: bool,
    key: &str,
    progress: ProgressBar,
) -> Result<(Result<ApiResponse<Accepted>, ApiError>, Uploaded)> {
    let (body, reading) = upload.start();
    let bar = progress.clone();
    let lines = upload::stream(body).inspect(move |piece| {
        if let Ok(piece) = piece {
            bar.inc(piece.len() as u64);
        }
    });
    let submission = if dry_run { Submission::DryRun } else { Submission::Keyed(key) };
    let sent = client.upload_order(lines, submission).await;
    progress.finish_and_clear();
    let uploaded =
        reading.await.map_err(|error| Failure::error("reading the recipients failed").because(error))?;
    Ok((sent, uploaded))
}

/// Shows progress on a terminal, and nothing elsewhere.
fn progress(context: &Context) -> ProgressBar {
    if !context.terminal.is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("uploading");
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg} {bytes}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The order without its recipients.
fn order(args: &Args, default_sender: &str) -> Result<OrderRequest> {
    let now = moment::now();
    let read_moment = |flag: &str, text: &Option<String>| {
        let read = text.as_deref().map(|text| moment::read(text, &now)).transpose();
        read.map(|moment| moment.map(|moment| moment.to_string()))
            .map_err(|why| Failure::usage(format!("{flag}: {why}")))
    };
    let text = match (&args.text, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(source)) => read_text(source)?,
        (None, None) => {
            return Err(
                Failure::usage("no text given").remedy("Give a text: --text \"Hello\", or --file letter.txt")
            );
        }
    };
    let id = match &args.sender {
        Some(sender) => Some(sender.clone()),
        None if default_sender.is_empty() => None,
        None => Some(
            default_sender
                .parse::<SenderId>()
                .map_err(|error| Failure::usage("client.sender is not the id of a sender").because(error))?,
        ),
    };
    if id.is_none() && args.role.is_some() {
        return Err(Failure::usage("--role requires --sender"));
    }
    let sender = OrderSender {
        id,
        role: args.role.clone(),
        from_email: args.from.clone(),
        reply_to: args.reply_to.clone(),
        ..OrderSender::default()
    };
    let names_sender = sender.id.is_some() || sender.from_email.is_some() || sender.reply_to.is_some();
    let html = args.html.as_ref().map(|path| read_text(&Source::File(path.clone()))).transpose()?;
    Ok(OrderRequest {
        sender: names_sender.then_some(sender),
        text: Some(Text::new(text)),
        subject: args.subject.clone().map(Text::new),
        html: html.map(Text::new),
        channels: args.channel.clone(),
        deliver_at: read_moment("--at", &args.at)?,
        expires_at: read_moment("--expires-at", &args.expires_at)?,
        priority: args.priority,
        on_unknown: args.on_unknown,
        address_mode: args.all_addresses.then_some(AddressMode::All),
        on_invalid: Some(match args.on_invalid {
            OnInvalid::Reject => InvalidParts::Reject,
            OnInvalid::Skip => InvalidParts::Skip,
        }),
        source: Some("cli".to_owned()),
        ..OrderRequest::default()
    })
}

fn read_text(source: &Source) -> Result<String> {
    let mut bytes = Vec::new();
    let (what, read) = match source {
        Source::Stdin => {
            ("standard input".to_owned(), io::stdin().lock().take(LONGEST_TEXT + 1).read_to_end(&mut bytes))
        }
        Source::File(path) => {
            let read = std::fs::File::open(path)
                .and_then(|file| file.take(LONGEST_TEXT + 1).read_to_end(&mut bytes));
            (path.display().to_string(), read)
        }
    };
    read.map_err(|error| Failure::usage(format!("cannot read {what}")).because(error))?;
    if bytes.len() as u64 > LONGEST_TEXT {
        return Err(Failure::usage(format!(
            "{what} is larger than 4 MiB, too large for the text of a message"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::usage(format!("{what} is not UTF-8")).remedy("Save it as UTF-8 and try again.")
    })?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// A delimiter as given on the command line.
pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" | "\t" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && !b"\"\r\n".contains(one) => Ok(*one),
            _ => Err("must be one of , ; | or tab".to_owned()),
        },
    }
}

/// A mailbox, which the queue checks.
fn mailbox(text: &str) -> Result<Address, String> {
    match text.contains('@') {
        true => Ok(Address::new(text)),
        false => Err("must be a mailbox such as office@example.org".to_owned()),
    }
}

fn priority(text: &str) -> Result<Priority, String> {
    match text {
        "urgent" => Ok(Priority::Urgent),
        "bulk" => Ok(Priority::Bulk),
        _ => Err("must be urgent or bulk".to_owned()),
    }
}

fn on_unknown(text: &str) -> Result<OnUnknown, String> {
    match text {
        "retry" => Ok(OnUnknown::Retry),
        "hold" => Ok(OnUnknown::Hold),
        _ => Err("must be retry or hold".to_owned()),
    }
}
