//! Partitions of the database that did not respond to a list: a warning for people, an entry for programs.

use std::io::Write;

use serde::Serialize;

use super::Rows;
use crate::failure::Result;
use crate::terminal::Terminal;

/// What a list lacks: the last entry of JSON output.
#[derive(Debug, Serialize)]
struct Incomplete<'a> {
    partitions_missing: &'a [u16],
}

/// Reports partitions that did not respond, if any, so that nobody mistakes the list for a complete one. `held` names what
/// they contain.
///
/// # Errors
/// It cannot be written.
pub(crate) fn tell_missing<T: Serialize, W: Write>(
    rows: &mut Rows<'_, T, W>,
    missing: &[u16],
    held: &str,
    terminal: &Terminal,
) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    terminal.warn(&missing_words(missing, held));
    rows.remark(&Incomplete { partitions_missing: missing })
}

/// The same in one line: `Incomplete: 2 partitions of the database do not respond (1, 4); their orders are not shown. …`
pub(crate) fn missing_words(missing: &[u16], held: &str) -> String {
    let (partitions, their) = match missing.len() {
        1 => ("partition of the database does", "its"),
        _ => ("partitions of the database do", "their"),
    };
    let numbers: Vec<String> = missing.iter().map(u16::to_string).collect();
    format!(
        "Incomplete: {} {partitions} not respond ({}); {their} {held} are not shown. They are not lost: they return with the \
         Redis server that holds them. To find out more:  posthaste doctor",
        missing.len(),
        numbers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_and_plural_are_worded() {
        let one = missing_words(&[3], "orders");
        assert!(
            one.starts_with("Incomplete: 1 partition of the database does not respond (3); its orders"),
            "{one}"
        );
        let two = missing_words(&[3, 7], "entries");
        assert!(two.contains("2 partitions of the database do not respond (3, 7); their entries"), "{two}");
    }
}
