//! `posthaste send`: one message to people from a file, from standard input, or named on the command line.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use posthaste_model::{Channel, Lane, OnUnknown, SenderId};
use reqwest::{Body, Method, header};
use serde_json::{Map, Value, json};

use super::order::watch;
use crate::api::{Accepted, Client, Told};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment;
use crate::people::{self, Field, OnInvalid, Options, People, Person, Source, Upload, Uploaded};
use crate::terminal::plain;

mod told;

const EXAMPLES: &str = "\
Examples:
  posthaste send --to people.csv --subject \"Snow\" --text \"The school is closed today.\" --watch
  posthaste send --email a@example.org --text \"Hello\"
  posthaste send --to people.csv --file letter.txt --at \"tomorrow 09:00\" --dry-run
  cat people.csv | posthaste send --to - --map \"Write to=email\" --text \"Hello\" --on-invalid skip
  posthaste send --to people.csv --text \"Hello\" --watch | jq .order.totals
";

/// A file or a letter larger than this is no text of a message.
const LONGEST_TEXT: u64 = 4 * 1024 * 1024;

/// Arguments of `posthaste send`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// CSV file of people (RFC 4180), or - for standard input. Delimiter, encoding and columns are found; a file with open or
    /// stray quotes is refused by line.
    #[arg(long, value_name = "FILE", help_heading = "To whom")]
    to: Option<Source>,
    /// A mailbox. May be given several times, as may the next ones.
    #[arg(long, value_name = "ADDRESS", help_heading = "To whom")]
    email: Vec<String>,
    /// A phone number.
    #[arg(long, value_name = "NUMBER", help_heading = "To whom")]
    sms: Vec<String>,
    /// A Telegram chat id or @name.
    #[arg(long, value_name = "CHAT", help_heading = "To whom", allow_hyphen_values = true)]
    telegram: Vec<String>,
    /// A VK peer id.
    #[arg(long, value_name = "PEER", help_heading = "To whom", allow_hyphen_values = true)]
    vk: Vec<String>,
    /// What a column of the file holds: "Write to=email", "3=name", "Old phone=ignore".
    #[arg(long, value_name = "COLUMN=FIELD", help_heading = "To whom")]
    map: Vec<people::Map>,
    /// What to do about bad rows and addresses.
    #[arg(long, value_enum, default_value = "stop", help_heading = "To whom")]
    on_invalid: OnInvalid,
    /// The delimiter, when the one found is wrong: , ; | or tab.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter, help_heading = "To whom")]
    delimiter: Option<u8>,
    /// The encoding, when the one found is wrong: utf-8, windows-1251, koi8-r and so on.
    #[arg(long, value_name = "NAME", value_parser = people::encoding_of, help_heading = "To whom")]
    encoding: Option<&'static encoding_rs::Encoding>,
    /// Send to every address of a person, not to the first one of each channel.
    #[arg(long, help_heading = "To whom")]
    all_addresses: bool,
    /// Rows with the same id are one person although their addresses differ: the first row counts.
    #[arg(long, help_heading = "To whom")]
    merge_ids: bool,
    /// Use only these channels: email, sms, telegram, vk. May be given several times.
    #[arg(long, value_name = "CHANNEL", help_heading = "To whom")]
    channel: Vec<Channel>,

    /// The text.
    #[arg(long, value_name = "TEXT", help_heading = "What", conflicts_with = "file")]
    text: Option<String>,
    /// File with the text, or - for standard input.
    #[arg(long, value_name = "FILE", help_heading = "What")]
    file: Option<Source>,
    /// The subject, for channels that have one.
    #[arg(long, value_name = "TEXT", help_heading = "What")]
    subject: Option<String>,
    /// File with the text as HTML, for channels that take it.
    #[arg(long, value_name = "FILE", help_heading = "What")]
    html: Option<PathBuf>,

    /// When: "2026-12-24 09:00", "09:00", "tomorrow 09:00", "+2h30m". Without it: now.
    #[arg(long, value_name = "TIME", help_heading = "When and how")]
    at: Option<String>,
    /// What could not be sent by then is given up; same forms.
    #[arg(long, value_name = "TIME", help_heading = "When and how")]
    not_after: Option<String>,
    /// Urgent goes first everywhere.
    #[arg(long, value_name = "LANE", value_parser = lane, help_heading = "When and how")]
    lane: Option<Lane>,
    /// When nobody knows whether a message arrived: retry (it may come twice) or hold (it may be lost).
    #[arg(long, value_name = "WHAT", value_parser = on_unknown, help_heading = "When and how")]
    on_unknown: Option<OnUnknown>,
    /// Who sends, if the key may say so.
    #[arg(long, value_name = "ID", help_heading = "When and how")]
    sender: Option<SenderId>,
    /// The sender's role, if the key may say so; it decides how many orders a day.
    #[arg(long, value_name = "ROLE", help_heading = "When and how")]
    role: Option<String>,
    /// Sending again with the same word within a day sends nothing twice.
    #[arg(long, value_name = "WORD", help_heading = "When and how")]
    idempotency_key: Option<String>,

    /// Check everything, send nothing.
    #[arg(short = 'n', long, conflicts_with = "watch")]
    dry_run: bool,
    /// Follow the order to its end: bars on a terminal, NDJSON in a pipe.
    #[arg(long)]
    watch: bool,
}

/// Sends.
///
/// # Errors
/// Nothing was sent, unless the kind says otherwise.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    if args.to == Some(Source::Stdin) && args.file == Some(Source::Stdin) {
        return Err(Failure::usage("--to - and --file - both want standard input"));
    }
    let (client, settings) = context.client()?;
    let order = order(&args, &settings.sender)?;
    let given = given(&args);
    let people = match &args.to {
        Some(source) => {
            let options =
                Options { maps: args.map.clone(), delimiter: args.delimiter, encoding: args.encoding };
            let people = People::open(source, &options)?;
            context.terminal.note(&format!("{} ({})", people.columns().words(), people.words()));
            Some(people)
        }
        None if given.is_empty() => {
            return Err(Failure::usage("nobody to send to")
                .mend("Name people: --to people.csv, or --email a@example.org"));
        }
        None => None,
    };
    let titles = people.as_ref().map(|people| people.columns().clone());
    let key = args.idempotency_key.clone().unwrap_or_else(fresh_key);
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
    if uploaded.errors.count() > 0 && args.on_invalid == OnInvalid::Stop {
        return Err(told::bad_rows(&uploaded));
    }
    let accepted: Told<Accepted> = match answer {
        Sent::Accepted(accepted) => *accepted,
        Sent::Refused(problem, retry_after) => {
            return Err(told::refused(problem, retry_after, &uploaded, titles.as_ref()));
        }
        Sent::Lost(failure) => {
            let mend = "It may have been accepted all the same. Repeat the command with\n  \
                        --idempotency-key ";
            return Err(failure.mend(format!("{mend}{key}\nand nothing is sent twice.")));
        }
    };
    told::skipped(&uploaded, &accepted.seen, titles.as_ref(), context);
    let watched = args.watch.then_some(accepted.seen.order_id.as_deref()).flatten();
    match watched {
        Some(order_id) => {
            context.terminal.note(&format!("order {} accepted", plain(order_id)));
            let ended = watch::follow(&client, order_id, context).await;
            told::closing(&uploaded, &accepted.seen, context);
            ended
        }
        None => {
            told::accepted(&accepted, &uploaded, args.dry_run, context)?;
            told::closing(&uploaded, &accepted.seen, context);
            Ok(())
        }
    }
}

/// How the queue answered an upload.
enum Sent {
    Accepted(Box<Told<Accepted>>),
    Refused(crate::api::Problem, Option<u64>),
    Lost(Failure),
}

async fn send(
    client: &Client,
    upload: Upload,
    dry_run: bool,
    key: &str,
    progress: ProgressBar,
) -> Result<(Sent, Uploaded)> {
    let query: &[(&str, String)] = if dry_run { &[("dry_run", "true".to_owned())] } else { &[] };
    let (body, reading) = upload.start();
    let bar = progress.clone();
    let body = people::stream(body).inspect(move |piece| {
        if let Ok(piece) = piece {
            bar.inc(piece.len() as u64);
        }
    });
    let mut request = client
        .request(Method::POST, "/v1/orders", query)
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::wrap_stream(body));
    if !dry_run {
        request = request.header("idempotency-key", key);
    }
    let sent = match request.send().await {
        Err(error) => Sent::Lost(client.lost(error)),
        Ok(answer) if answer.status().is_success() => match client.json(answer).await {
            Ok(accepted) => Sent::Accepted(Box::new(accepted)),
            Err(failure) => Sent::Lost(failure),
        },
        Ok(answer) => {
            let (problem, retry_after) = client.problem(answer).await?;
            Sent::Refused(problem, retry_after)
        }
    };
    progress.finish_and_clear();
    let uploaded =
        reading.await.map_err(|error| Failure::error("reading the people failed").because(error))?;
    Ok((sent, uploaded))
}

/// Shows people that something moves; nobody else sees it.
fn progress(context: &Context) -> ProgressBar {
    if !context.terminal.is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("handing over");
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg} {bytes}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The order without its recipients.
fn order(args: &Args, default_sender: &str) -> Result<Value> {
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
                Failure::usage("nothing to say").mend("Give a text: --text \"Hello\", or --file letter.txt")
            );
        }
    };
    let mut order = Map::new();
    let sender = args.sender.as_ref().map_or(default_sender, SenderId::as_str);
    if !sender.is_empty() {
        let mut about = Map::from_iter([("id".to_owned(), json!(sender))]);
        about.extend(args.role.as_ref().map(|role| ("role".to_owned(), json!(role))));
        order.insert("sender".to_owned(), about.into());
    } else if args.role.is_some() {
        return Err(Failure::usage("--role needs --sender"));
    }
    let html = args.html.as_ref().map(|path| read_text(&Source::File(path.clone()))).transpose()?;
    let mut put =
        |name: &str, value: Option<Value>| order.extend(value.map(|value| (name.to_owned(), value)));
    put("text", Some(text.into()));
    put("subject", args.subject.as_ref().map(|subject| json!(subject)));
    put("html", html.map(Value::from));
    put("channels", (!args.channel.is_empty()).then(|| json!(args.channel)));
    put("deliver_at", read_moment("--at", &args.at)?.map(Value::from));
    put("not_after", read_moment("--not-after", &args.not_after)?.map(Value::from));
    put("lane", args.lane.map(|lane| json!(lane)));
    put("on_unknown", args.on_unknown.map(|what| json!(what)));
    put("addresses", args.all_addresses.then(|| "all".into()));
    put("invalid", Some(args.on_invalid.word().into()));
    put("origin", Some("cli".into()));
    Ok(order.into())
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
        return Err(Failure::usage(format!("{what} is larger than 4 MiB: no text of a message")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{what} is no UTF-8")).mend("Save it as UTF-8 and try again."))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// People named on the command line, one per address.
fn given(args: &Args) -> Vec<Person> {
    let lists = [
        (Field::Email, &args.email),
        (Field::Sms, &args.sms),
        (Field::Telegram, &args.telegram),
        (Field::Vk, &args.vk),
    ];
    let all = lists.into_iter().flat_map(|(field, list)| list.iter().map(move |address| (field, address)));
    all.enumerate()
        .map(|(at, (field, address))| Person::at(format!("given-{}", at + 1), field, address))
        .collect()
}

fn fresh_key() -> String {
    format!("cli-{:032x}", rand::random::<u128>())
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" | "\t" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && !b"\"\r\n".contains(one) => Ok(*one),
            _ => Err("one of , ; | or tab".to_owned()),
        },
    }
}

fn lane(text: &str) -> Result<Lane, String> {
    match text {
        "urgent" => Ok(Lane::Urgent),
        "bulk" => Ok(Lane::Bulk),
        _ => Err("urgent or bulk".to_owned()),
    }
}

fn on_unknown(text: &str) -> Result<OnUnknown, String> {
    match text {
        "retry" => Ok(OnUnknown::Retry),
        "hold" => Ok(OnUnknown::Hold),
        _ => Err("retry or hold".to_owned()),
    }
}
