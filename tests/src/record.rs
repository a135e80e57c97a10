//! What the test transports wrote down: the provider's side of the truth.

use std::collections::BTreeMap;
use std::path::Path;

/// Names a row: order, parcel, row.
pub type RowName = (String, u32, u16);

/// One line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Attempt of the row.
    pub attempt: u8,
    /// Microseconds since 1970, by the machine's clock.
    pub at_us: u64,
}

/// All lines, by row.
#[derive(Debug, Default)]
pub struct Record {
    /// Envelopes about to leave.
    pub leaving: BTreeMap<RowName, Vec<Sighting>>,
    /// Envelopes the provider took.
    pub taken: BTreeMap<RowName, Vec<Sighting>>,
}

impl Record {
    /// Reads every record file in a folder. A line cut short by a kill is left out.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut record = Self::default();
        for entry in std::fs::read_dir(folder)? {
            for line in std::fs::read_to_string(entry?.path())?.lines() {
                record.add(line);
            }
        }
        Ok(record)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let what = words.next()?;
        let suffix = words.next()?.to_owned();
        let (parcel, row) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let attempt = words.next()?.parse().ok()?;
        let _recipient = words.next()?;
        let at_us = words.next()?.parse().ok()?;
        let rows = if what == "leaving" { &mut self.leaving } else { &mut self.taken };
        rows.entry((suffix, parcel, row)).or_default().push(Sighting { attempt, at_us });
        Some(())
    }

    /// How often the provider took this row.
    #[must_use]
    pub fn times_taken(&self, row: &RowName) -> usize {
        self.taken.get(row).map_or(0, Vec::len)
    }
}
