//! The outcomes of a parcel: 6 bytes of counts, then 12 bytes a row. The layout is told in `lua/lib/rows.lua`.

use std::time::Duration;

use posthaste_model::{Counters, Reason, State, UnixMs};

use crate::value::Malformed;

/// Bytes before the rows.
pub const COUNTS: usize = 6;
/// Bytes of a row.
pub const ROW: usize = 12;
const ROW_VERSION: u8 = 1;
const REPEATED: u8 = 16;
const TOKEN: u8 = 32;

/// The record of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOutcome {
    /// Its state.
    pub state: State,
    /// The last attempt begun; grows by one at each begin and wraps at 256. 0: never begun.
    pub attempt: u8,
    /// Tries spent, at most 15.
    pub tries: u8,
    /// Whether the one repeat after an unknown is spent.
    pub repeated: bool,
    /// Why.
    pub reason: Reason,
    /// When it last changed (an unknown one: when it was begun), to the second, never before the due time.
    pub changed: UnixMs,
    /// A token, or the progress of a message in parts.
    pub token: Option<u32>,
    /// Before this moment a pending row is not to be begun.
    pub not_before: Option<UnixMs>,
}

/// The outcomes of one parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    bytes: Vec<u8>,
    due: UnixMs,
}

impl Outcomes {
    /// Reads a record of `rows` rows of an order due at `due`; without a record every row is pending.
    ///
    /// # Errors
    /// When the record has another length or version.
    pub fn decode(record: Option<&[u8]>, rows: u32, due: UnixMs) -> Result<Self, Malformed> {
        let rows = rows as usize;
        let bytes = match record {
            Some(bytes) => bytes.to_vec(),
            None => {
                let mut bytes = vec![0; COUNTS + rows * ROW];
                let count = u16::try_from(rows).map_err(|_| Malformed::new("outcomes"))?;
                bytes[..2].copy_from_slice(&count.to_be_bytes());
                for at in 0..rows {
                    bytes[COUNTS + at * ROW] = ROW_VERSION << 4;
                }
                bytes
            }
        };
        if bytes.len() == COUNTS + rows * ROW
            && bytes[COUNTS..].chunks(ROW).any(|row| row[0] >> 4 > ROW_VERSION)
        {
            return Err(Malformed::newer("outcomes"));
        }
        let sound = bytes.len() == COUNTS + rows * ROW
            && bytes[COUNTS..].chunks(ROW).all(|row| row[0] >> 4 == ROW_VERSION && row[0] & 15 < 10);
        let outcomes = Self { bytes, due };
        // With counts that are not those of its rows a parcel would never end.
        if sound && outcomes.counts() == outcomes.open_rows() {
            Ok(outcomes)
        } else {
            Err(Malformed::new("outcomes"))
        }
    }

    /// Pending, sending and unresolved rows, counted.
    fn open_rows(&self) -> (u16, u16, u16) {
        let count = |state: State| {
            let rows = self.bytes[COUNTS..].chunks(ROW).filter(|row| row[0] & 15 == state as u8);
            u16::try_from(rows.count()).unwrap_or(u16::MAX)
        };
        (count(State::Pending), count(State::Sending), count(State::Unresolved))
    }

    /// The outcomes of `rows` rows of an order that was cancelled before it was due at `due`: they have no record.
    ///
    /// # Errors
    /// When there are more rows than a record holds.
    pub fn all_cancelled(rows: u32, due: UnixMs) -> Result<Self, Malformed> {
        let mut outcomes = Self::decode(None, rows, due)?;
        outcomes.bytes[..COUNTS].fill(0);
        for row in outcomes.bytes[COUNTS..].chunks_mut(ROW) {
            row[0] = (ROW_VERSION << 4) | State::Cancelled as u8;
            row[3..5].copy_from_slice(&Reason::Cancelled.code().to_be_bytes());
        }
        Ok(outcomes)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.bytes.len() - COUNTS) / ROW
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored counts of pending, sending and unresolved rows.
    #[must_use]
    pub fn counts(&self) -> (u16, u16, u16) {
        let number = |at: usize| u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        (number(0), number(2), number(4))
    }

    /// The row `i`, or `None` beyond the last.
    #[must_use]
    pub fn row(&self, i: usize) -> Option<RowOutcome> {
        let row = self.bytes.get(COUNTS + i * ROW..COUNTS + (i + 1) * ROW)?;
        let state = State::from_number(row[0] & 15)?;
        let seconds = u64::from(u32::from_be_bytes([0, row[5], row[6], row[7]]));
        let value = u32::from_be_bytes([row[8], row[9], row[10], row[11]]);
        let token = row[2] & TOKEN != 0;
        let changed = self.due.after(Duration::from_secs(seconds));
        let not_before = match state {
            State::Pending if token => Some(changed),
            State::Pending if value > 0 => Some(UnixMs(self.due.0 + u64::from(value) * 10)),
            _ => None,
        };
        Some(RowOutcome {
            state,
            attempt: row[1],
            tries: row[2] & 15,
            repeated: row[2] & REPEATED != 0,
            reason: Reason::from_code(u16::from_be_bytes([row[3], row[4]])),
            changed,
            token: token.then_some(value),
            not_before,
        })
    }

    /// All rows in order.
    pub fn rows(&self) -> impl Iterator<Item = RowOutcome> + '_ {
        (0..self.len()).filter_map(|i| self.row(i))
    }

    /// Rows by state.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for row in self.rows() {
            counters[row.state] += 1;
        }
        counters
    }
}
