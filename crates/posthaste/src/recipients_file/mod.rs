//! Recipients from a CSV file: detects encoding, delimiter and columns, and reads one person per row.

mod columns;
mod delimiter;
mod encoding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod known;
mod person;
mod read;
mod reasons;
mod scan;
mod upload;

pub(crate) use columns::{Columns, Map};
pub(crate) use encoding::encoding_of;
pub(crate) use person::{Field, Person};
pub(crate) use read::{Options, People, Source};
pub(crate) use reasons::Reasons;
pub(crate) use upload::{OnInvalid, Upload, Uploaded, stream};
