//! What `posthaste send` prints: what was accepted, what was left out, and which rows were invalid.

use std::io::{self, Write};

use posthaste_client::{Accepted, ApiError, ApiResponse, Skipped};
use posthaste_people_file::{Columns, Reasons};

use crate::client::{failure_with, words};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Column, Format, Reader};
use crate::terminal::plain;
use crate::upload::Uploaded;

/// The queue names at most this many faults of an order; with this many, there may be more.
const MOST_FAULTS: usize = 100;

/// The failure for invalid rows.
pub(super) fn bad_rows(uploaded: &Uploaded) -> Failure {
    let count = uploaded.errors.count();
    let mut lines: Vec<String> = uploaded.errors.lines().collect();
    lines.push("Fix them, or skip them with --on-invalid skip.".to_owned());
    Failure::refused(format!("{count} invalid {}; nothing was sent", rows(count))).remedy(lines.join("\n"))
}

/// The failure for an order the queue rejected, with line numbers of the file.
pub(super) fn refused(error: ApiError, uploaded: &Uploaded, columns: Option<&Columns>) -> Failure {
    let Some(problem) = error.problem() else { return error.into() };
    let mut reasons = Reasons::default();
    for part in &problem.errors {
        let (line, what) = place(part.line, part.pointer.as_deref(), &words(part), uploaded, columns);
        reasons.add(line, &what);
    }
    let mut lines: Vec<String> = reasons.lines().collect();
    if problem.errors.len() >= MOST_FAULTS {
        lines.push(format!("These are the first {MOST_FAULTS}; there may be more."));
    }
    if problem.errors.iter().any(|part| part.line.is_some()) {
        lines.push("Fix them, or skip them with --on-invalid skip.".to_owned());
    }
    failure_with(error, lines)
}

/// Prints what was left out.
pub(super) fn skipped(
    uploaded: &Uploaded,
    accepted: &Accepted,
    columns: Option<&Columns>,
    context: &Context,
) {
    let by_queue = &accepted.recipients.skipped;
    let skipped = accepted.recipients.skipped_count.max(by_queue.len() as u64);
    let mut reasons = Reasons::default();
    for Skipped { line, pointer, code, detail } in by_queue {
        let words = plain(detail.as_deref().unwrap_or(code));
        let (line, what) = place(*line, pointer.as_deref(), &words, uploaded, columns);
        reasons.add(line, &what);
    }
    let warn = |lines: &mut dyn Iterator<Item = String>| {
        lines.for_each(|line| context.terminal.warn(&format!("  {line}")));
    };
    let count = uploaded.errors.count() + uploaded.unreachable.count() + skipped;
    if count > 0 {
        context.terminal.warn(&format!("{count} left out:"));
        warn(&mut uploaded.errors.lines().chain(uploaded.unreachable.lines()).chain(reasons.lines()));
        warn(&mut more(skipped, by_queue.len()).into_iter());
    }
    warn(&mut uploaded.spare.lines());
    if uploaded.merged.count > 0 {
        let pairs = uploaded.merged.first.iter();
        let pairs: Vec<_> = pairs.map(|(line, with)| format!("line {line} with line {with}")).collect();
        let rest = if uploaded.merged.count > pairs.len() as u64 { ", …" } else { "" };
        let text = format!("merged, the first row is used: {}{rest}", pairs.join(", "));
        context.terminal.warn(&text);
    }
}

/// Prints what will fail although the order is accepted.
pub(super) fn warnings(accepted: &Accepted, dry_run: bool, context: &Context) {
    for warning in &accepted.warnings {
        let (count, channel) = (warning.delivery_count, plain(&warning.channel));
        let deliveries = if count == 1 { "delivery" } else { "deliveries" };
        let end = if dry_run { "would" } else { "will" };
        let why = format!("{} {}", plain(&warning.pointer), plain(&warning.detail));
        context.terminal.warn(&format!("{count} {deliveries} on {channel} {end} fail: {why}"));
    }
}

/// Prints the last line: what became of every row. Its numbers add up to the rows of the file plus the recipients given
/// on the command line.
pub(super) fn closing(uploaded: &Uploaded, accepted: &Accepted, context: &Context) {
    if uploaded.rows == 0 {
        return;
    }
    let response = &accepted.recipients;
    let merged = uploaded.merged.count + response.duplicates.recipient_count;
    let by_queue =
        uploaded.people.saturating_sub(response.accepted_count + response.duplicates.recipient_count);
    let left = uploaded.errors.count() + uploaded.unreachable.count() + by_queue;
    let sent = match accepted.status.as_deref() {
        _ if accepted.dry_run => "would be sent",
        Some("scheduled") => "will be sent",
        _ => "sent",
    };
    let named = match uploaded.given {
        0 => String::new(),
        given => format!(" and {given} from the command line"),
    };
    let (all, rows) = (uploaded.rows, rows(uploaded.rows));
    let text = format!(
        "{all} {rows} of the file{named}: {} {sent}, {merged} merged, {left} left out",
        response.accepted_count
    );
    context.terminal.note(&text);
}

/// Prints what was accepted, or would be.
pub(super) fn accepted(
    response: &ApiResponse<Accepted>,
    uploaded: &Uploaded,
    dry_run: bool,
    context: &Context,
) -> Result<()> {
    let accepted = &response.seen;
    let columns = [
        Column {
            title: "Id",
            cell: |order: &ApiResponse<Accepted>, _: &Reader<'_>| order.seen.id.clone().unwrap_or_default(),
        },
        Column { title: "Status", cell: |order, _| order.seen.status.clone().unwrap_or_default() },
        Column { title: "Deliver at", cell: |order, reader| reader.moment(order.seen.deliver_at.as_deref()) },
        Column { title: "Recipients", cell: |order, _| order.seen.recipients.accepted_count.to_string() },
    ];
    let output = context.output(Format::Table);
    output.one(response, &columns, std::slice::from_ref(response), |out, reader| {
        people(out, reader, accepted, uploaded, dry_run)
    })?;
    if let (Format::Table, Some(id), false) = (output.format(), &accepted.id, dry_run) {
        context.terminal.hint(&format!("Watch it:  posthaste order watch {}", plain(id)));
    }
    Ok(())
}

fn people(
    out: &mut dyn Write,
    reader: &Reader<'_>,
    accepted: &Accepted,
    uploaded: &Uploaded,
    dry_run: bool,
) -> io::Result<()> {
    match (&accepted.id, dry_run) {
        (Some(id), false) => writeln!(out, "Order       {}", plain(id))?,
        _ => writeln!(out, "Dry run     nothing was sent or stored")?,
    }
    let response = &accepted.recipients;
    let mut channels: Vec<String> = response
        .delivery_counts
        .iter()
        .map(|(channel, count)| format!("{} {count}", plain(channel)))
        .collect();
    if channels.is_empty() {
        channels = uploaded.reachable.iter().map(|(channel, count)| format!("{channel} {count}")).collect();
    }
    writeln!(out, "Recipients  {} ({})", response.accepted_count, channels.join(", "))?;
    if response.duplicates.recipient_count + response.duplicates.address_count > 0 {
        let (people, addresses) = (response.duplicates.recipient_count, response.duplicates.address_count);
        writeln!(out, "            duplicates merged: {people} recipients, {addresses} addresses")?;
    }
    for (channel, count) in accepted.recipients.no_contact.iter().filter(|(_, count)| **count > 0) {
        writeln!(out, "            {count} without an address on {}", plain(channel))?;
    }
    if let Some(due) = &accepted.deliver_at {
        let moved = match &accepted.delay_reason {
            Some(by) => format!(", moved by {}", plain(&by.replace('_', " "))),
            None => String::new(),
        };
        writeln!(out, "Due         {}{moved}", reader.moment(Some(due)))?;
    }
    for channel in &accepted.channels_without_courier {
        writeln!(out, "Waits       no courier is running for {}; its messages wait", plain(channel))?;
    }
    Ok(())
}

/// The place of a fault in terms of the file, and its text: line 17, `"Почта": one mailbox`.
fn place(
    line: Option<u64>,
    pointer: Option<&str>,
    words: &str,
    uploaded: &Uploaded,
    columns: Option<&Columns>,
) -> (Option<u64>, String) {
    let file_line = line.and_then(|line| uploaded.line_of(line));
    let word = pointer.and_then(|pointer| pointer.split('/').rev().find(|part| is_word(part)));
    let title = word.and_then(|word| columns?.title_of(word));
    let what = match (file_line, title, pointer) {
        (Some(_), Some(title), _) => format!("\"{title}\": {words}"),
        (_, _, Some(pointer)) if !pointer.is_empty() => format!("{}: {words}", plain(pointer)),
        _ => words.to_owned(),
    };
    (file_line, what)
}

/// Whether a part of a pointer is a name, not a number.
fn is_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().any(|b| !b.is_ascii_digit())
}

fn rows(count: u64) -> &'static str {
    if count == 1 { "row" } else { "rows" }
}

fn more(count: u64, shown: usize) -> Option<String> {
    let rest = count.saturating_sub(shown as u64);
    (rest > 0).then(|| format!("… and {rest} more"))
}
