//! Reads people from CSV files as spreadsheets and people write them: detects encoding, delimiter and columns, reads one
//! person per row in bounded memory, and reports each problem with its line. Nothing here knows the command line or the queue.
//!
//! [`People`] reads a file, [`Person`] is one row in the queue's format, [`Reasons`] groups problems, [`Known`] finds rows
//! about the same person. [`escape`] makes cells of an export safe for spreadsheets, and such cells are read back as they
//! were.

mod cell;
mod columns;
mod delimiter;
mod encoding;
mod file_error;
mod formula;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod known;
mod mailboxes;
mod person;
mod read;
mod reasons;
mod scan;

pub use cell::Spoiled;
pub use columns::{Columns, Map};
pub use encoding::encoding_of;
pub use file_error::{FileError, FileErrorKind};
pub use formula::{escape, unescape};
pub use known::{Known, OTHER_ADDRESSES, RowMatch};
pub use person::{Field, Person};
pub use read::{Options, People, RowError, Source};
pub use reasons::Reasons;

use file_error::Result;
