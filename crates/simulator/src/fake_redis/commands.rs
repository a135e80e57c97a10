//! The commands, one family per file.

mod hashes;
mod keys;
mod lists;
mod server;
mod sets;
mod sorted_set_ranges;
mod sorted_sets;
mod strings;

use super::argv::Argv;
use super::command::Command;
use super::fault::CommandError;
use super::number::parse_int;

/// Every command of every family.
pub(super) fn all() -> Vec<Command> {
    [
        keys::commands(),
        strings::commands(),
        hashes::commands(),
        sorted_sets::commands(),
        sorted_set_ranges::commands(),
        lists::commands(),
        sets::commands(),
        server::commands(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A word as an integer.
fn int(argv: &Argv, at: usize) -> Result<i64, CommandError> {
    parse_int(&argv[at]).ok_or(CommandError::NotInteger)
}

/// A word as a count of zero or more.
fn count(argv: &Argv, at: usize) -> Result<usize, CommandError> {
    parse_int(&argv[at]).and_then(|number| usize::try_from(number).ok()).ok_or(CommandError::NotPositive)
}

/// A part of a sequence of `len` from `start` to `end` (inclusive, negative values count from the end):
/// the range of indexes, or `None` if it is empty.
fn slice(start: i64, end: i64, len: usize) -> Option<std::ops::Range<usize>> {
    let signed = i64::try_from(len).unwrap_or(i64::MAX);
    let start = if start < 0 { start.saturating_add(signed).max(0) } else { start };
    let end = if end < 0 { end.saturating_add(signed) } else { end.min(signed - 1) };
    if start > end || start >= signed {
        return None;
    }
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()? + 1)
}
