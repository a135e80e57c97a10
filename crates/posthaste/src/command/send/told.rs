//! What `posthaste send` tells: what was accepted, what was left out, and which rows were wrong.

use std::io::{self, Write};

use crate::api::{Accepted, Fault, Problem, Skipped, Told};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Column, Format, Reader};
use crate::people::{Columns, Uploaded};
use crate::terminal::plain;

/// Rows named on a terminal; the others are counted.
const SHOWN: usize = 20;

/// The failure for rows that cannot be used.
pub(super) fn bad_rows(uploaded: &Uploaded) -> Failure {
    let count = uploaded.error_count;
    let mut lines: Vec<String> = uploaded.errors.iter().take(SHOWN).map(ToString::to_string).collect();
    lines.extend(more(count, lines.len()));
    lines.push("Mend them, or leave them out with --on-invalid skip.".to_owned());
    Failure::refused(format!("{count} {} cannot be used; nothing was sent", rows(count)))
        .mend(lines.join("\n"))
}

/// The failure for an order the queue refused, with lines of the file.
pub(super) fn refused(
    problem: Problem,
    retry_after: Option<u64>,
    uploaded: &Uploaded,
    columns: Option<&Columns>,
) -> Failure {
    let place = |fault: &Fault| place(fault.line, fault.pointer.as_deref(), uploaded, columns);
    let mut lines: Vec<String> =
        problem.errors.iter().take(SHOWN).map(|fault| format!("{}{}", place(fault), fault.words())).collect();
    lines.extend(more(problem.errors.len() as u64, lines.len()));
    if problem.errors.iter().any(|fault| fault.line.is_some()) {
        lines.push("Mend them, or leave them out with --on-invalid skip.".to_owned());
    }
    problem.into_failure_with(lines, retry_after)
}

/// Says what was left out.
pub(super) fn skipped(
    uploaded: &Uploaded,
    accepted: &Accepted,
    columns: Option<&Columns>,
    context: &Context,
) {
    let by_queue = &accepted.recipients.skipped;
    let count = uploaded.error_count + accepted.recipients.skipped_total.max(by_queue.len() as u64);
    if count == 0 {
        return;
    }
    context.terminal.warn(&format!("{count} left out:"));
    let words = |skipped: &Skipped| {
        let place = place(skipped.line, skipped.pointer.as_deref(), uploaded, columns);
        format!("{place}{}", plain(skipped.detail.as_deref().unwrap_or(&skipped.code)))
    };
    let lines = uploaded.errors.iter().map(ToString::to_string).chain(by_queue.iter().map(words));
    let shown: Vec<String> = lines.take(SHOWN).collect();
    let rest = more(count, shown.len());
    shown.into_iter().chain(rest).for_each(|line| context.terminal.warn(&format!("  {line}")));
}

/// Says what was accepted, or would be.
pub(super) fn accepted(
    told: &Told<Accepted>,
    uploaded: &Uploaded,
    dry_run: bool,
    context: &Context,
) -> Result<()> {
    let accepted = &told.seen;
    let columns = [
        Column {
            title: "Order id",
            cell: |order: &Told<Accepted>, _: &Reader<'_>| order.seen.order_id.clone().unwrap_or_default(),
        },
        Column { title: "State", cell: |order, _| order.seen.state.clone() },
        Column { title: "Due at", cell: |order, reader| reader.moment(order.seen.due_at.as_deref()) },
        Column { title: "Recipients", cell: |order, _| order.seen.recipients.accepted.to_string() },
    ];
    let output = context.output(Format::Table);
    output.one(told, &columns, std::slice::from_ref(told), |out, reader| {
        people(out, reader, accepted, uploaded, dry_run)
    })?;
    if let (Format::Table, Some(id), false) = (output.format(), &accepted.order_id, dry_run) {
        context.terminal.hint(&format!("Follow it:  posthaste order watch {}", plain(id)));
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
    match (&accepted.order_id, dry_run) {
        (Some(id), false) => writeln!(out, "Order       {}", plain(id))?,
        _ => writeln!(out, "Dry run     nothing was sent or stored")?,
    }
    let told = &accepted.recipients;
    let mut channels: Vec<String> =
        told.rows.iter().map(|(channel, count)| format!("{} {count}", plain(channel))).collect();
    if channels.is_empty() {
        channels = uploaded.reachable.iter().map(|(channel, count)| format!("{channel} {count}")).collect();
    }
    writeln!(out, "Recipients  {} ({})", told.accepted, channels.join(", "))?;
    if told.merged.recipients + told.merged.addresses > 0 {
        let (people, addresses) = (told.merged.recipients, told.merged.addresses);
        writeln!(out, "            named twice, sent once: {people} people, {addresses} addresses")?;
    }
    for (channel, count) in accepted.recipients.no_contact.iter().filter(|(_, count)| **count > 0) {
        writeln!(out, "            {count} without an address on {}", plain(channel))?;
    }
    if let Some(due) = &accepted.due_at {
        let moved = match &accepted.moved_by {
            Some(by) => format!(", moved by {}", plain(&by.replace('_', " "))),
            None => String::new(),
        };
        writeln!(out, "Due         {}{moved}", reader.moment(Some(due)))?;
    }
    for channel in &accepted.channels_without_courier {
        writeln!(out, "Waits       no courier works on {}; what goes there waits for one", plain(channel))?;
    }
    Ok(())
}

/// Where something is, in words of the file: `line 17, "Почта": `.
fn place(line: Option<u64>, pointer: Option<&str>, uploaded: &Uploaded, columns: Option<&Columns>) -> String {
    let file_line = line.and_then(|line| uploaded.line_of(line));
    let word = pointer.and_then(|pointer| pointer.split('/').rev().find(|part| is_word(part)));
    let title = word.and_then(|word| columns?.title_of(word));
    match (file_line, title, pointer) {
        (Some(line), Some(title), _) => format!("line {line}, \"{title}\": "),
        (Some(line), None, Some(pointer)) if !pointer.is_empty() => {
            format!("line {line}, {}: ", plain(pointer))
        }
        (Some(line), None, _) => format!("line {line}: "),
        (None, _, Some(pointer)) if !pointer.is_empty() => format!("{}: ", plain(pointer)),
        (None, _, _) => String::new(),
    }
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
