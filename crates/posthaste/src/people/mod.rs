//! People from a file: which encoding, which delimiter, which column is what, and one person a row, read one by one.

mod columns;
mod dialect;
mod encoding;
mod person;
mod read;
mod upload;

pub(crate) use columns::{Columns, Map};
pub(crate) use encoding::encoding_of;
pub(crate) use person::{Field, Person};
pub(crate) use read::{Options, People, RowError, Source};
pub(crate) use upload::{OnInvalid, Upload, Uploaded, stream};
