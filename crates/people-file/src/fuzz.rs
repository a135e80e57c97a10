//! The readers of files of people as functions of bytes, for cargo-fuzz (`fuzz/`) and the tests that replay its corpus.

use std::io::Cursor;

use posthaste_model::CHANNELS;

use crate::mailboxes::mailboxes;
use crate::{Options, People, cell, escape, unescape};

/// Reads any bytes as a CSV file with detected encoding, delimiter and columns. Each row has its line, and errors do not
/// repeat cells.
pub fn people(data: &[u8]) {
    let Ok(mut people) = People::read(Box::new(Cursor::new(data.to_vec())), None, &Options::default()) else {
        return;
    };
    let lines = data.len() as u64 + 2;
    let mut rows = 0;
    while let Ok(Some(row)) = people.next_row() {
        rows += 1;
        match row {
            Ok((line, person)) => assert!((1..=lines).contains(&line) && person.is_reachable()),
            Err(error) => assert!((1..=lines).contains(&error.line) && error.what.len() < 200, "{error}"),
        }
    }
    assert!(rows <= lines);
}

/// Takes any text for a cell: what is exported for a spreadsheet is read back as it was.
pub fn cells(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(unescape(&escape(&text)) == text, "an escaped cell is read back");
    for rule in CHANNELS.iter().map(|channel| channel.address) {
        let Ok(address) = cell::address(rule, &text) else { continue };
        let found = mailboxes(&address);
        assert!(found.addresses.iter().all(|address| !address.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("people", super::people);
        replay("cells", super::cells);
    }
}
