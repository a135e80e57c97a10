//! Fuzzing the reader of recipient files.

use std::io::Cursor;

use super::{Options, People};

/// Reads any bytes as a CSV file with detected encoding, delimiter and columns. Each row has its line, and errors do not
/// repeat cells.
pub fn people(data: &[u8]) {
    let Ok(mut people) = People::read(Box::new(Cursor::new(data.to_vec())), None, &Options::default()) else {
        return;
    };
    let lines = data.len() as u64 + 2;
    let mut rows = 0;
    while let Ok(Some(row)) = people.next() {
        rows += 1;
        match row {
            Ok((line, person)) => assert!((1..=lines).contains(&line) && person.is_reachable()),
            Err(error) => assert!((1..=lines).contains(&error.line) && error.what.len() < 200, "{error}"),
        }
    }
    assert!(rows <= lines);
}
