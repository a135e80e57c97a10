//! Partitions of the database that a list could not ask: said to people, and given to programs.

use std::io::Write;

use serde::Serialize;

use super::Rows;
use crate::failure::Result;
use crate::terminal::Terminal;

/// What a list lacks, as JSON shows it behind the items.
#[derive(Debug, Serialize)]
struct Incomplete<'a> {
    partitions_missing: &'a [u16],
}

/// Says which partitions could not be asked, if any, so that nobody takes the list for a whole one. `held`: what they hold of it.
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

/// The same in one line: `Incomplete: 2 partitions of the database do not answer (1, 4); their orders are not shown. …`
pub(crate) fn missing_words(missing: &[u16], held: &str) -> String {
    let (partitions, their) = match missing.len() {
        1 => ("partition of the database does", "its"),
        _ => ("partitions of the database do", "their"),
    };
    let numbers: Vec<String> = missing.iter().map(u16::to_string).collect();
    format!(
        "Incomplete: {} {partitions} not answer ({}); {their} {held} are not shown. They are kept, and come back with the Redis \
         server that holds them:  posthaste doctor",
        missing.len(),
        numbers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many_are_told_in_words() {
        let one = missing_words(&[3], "orders");
        assert!(
            one.starts_with("Incomplete: 1 partition of the database does not answer (3); its orders"),
            "{one}"
        );
        let two = missing_words(&[3, 7], "entries");
        assert!(two.contains("2 partitions of the database do not answer (3, 7); their entries"), "{two}");
    }
}
