//! Where a page of orders begins: for each partition, the entry of its list down to which everything has been
//! returned.
//!
//! Lists grow at the tail and lose their oldest entries at the head, so the position of an entry may have moved down
//! since. An entry is therefore identified by its position and a hash of its name, and looked for from that position
//! downwards.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integer_encoding::VarInt as _;
use posthaste_model::{SenderId, UnixMs};
use sha2::{Digest, Sha256};

use super::recipients::InvalidCursor;

const VERSION: u8 = 1;
/// Most bytes of a number: 49 bits are more entries than a list can have.
const NUMBER_BYTES: usize = 7;
/// Most characters of a cursor.
const LONGEST: usize = 32 * 1024;

/// Filter for orders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderFilter {
    /// Orders of one sender; `None` for all senders.
    pub sender: Option<SenderId>,
    /// Accepted at this moment or later.
    pub from: Option<UnixMs>,
    /// Accepted before this moment.
    pub to: Option<UnixMs>,
}

impl OrderFilter {
    fn digest(&self) -> u32 {
        let moment = |at: Option<UnixMs>| at.map_or_else(String::new, |at| at.0.to_string());
        let sender = self.sender.as_ref().map_or("", SenderId::as_str);
        mark_of(&format!("{sender} {} {}", moment(self.from), moment(self.to)))
    }
}

/// A short hash of a name, the same in every process.
pub(super) fn mark_of(name: &str) -> u32 {
    let digest = Sha256::digest(name);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// How far a list has been returned. The default is to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ListPosition {
    /// Everything from here upwards has been returned; 0 means everything.
    pub(super) down_to: u64,
    /// The mark of the entry at that place, which has been returned too.
    pub(super) mark: Option<u32>,
}

/// Where a page of orders begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCursor {
    filter: u32,
    reported: Vec<ListPosition>,
}

impl OrderCursor {
    /// The cursor after what has been returned of each partition; `None` when that is everything.
    pub(super) fn behind(filter: &OrderFilter, reported: Vec<ListPosition>) -> Option<Self> {
        let more = reported.iter().any(|reported| reported.down_to > 0);
        more.then(|| Self { filter: filter.digest(), reported })
    }

    /// How far each of this many partitions has been returned; `None` when the cursor belongs to another list.
    pub(super) fn reported(&self, filter: &OrderFilter, partitions: u16) -> Option<&[ListPosition]> {
        let fits = self.filter == filter.digest() && self.reported.len() == usize::from(partitions);
        fits.then_some(&self.reported[..])
    }
}

impl fmt::Display for OrderCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.filter.to_be_bytes());
        for reported in &self.reported {
            let number = reported.down_to.saturating_mul(2) + u64::from(reported.mark.is_some());
            bytes.extend(number.encode_var_vec());
            bytes.extend(reported.mark.iter().flat_map(|mark| mark.to_be_bytes()));
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for OrderCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > LONGEST {
            return Err(InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let rest = bytes.strip_prefix(&[VERSION]).ok_or(InvalidCursor)?;
        let (filter, mut rest) = rest.split_first_chunk::<4>().ok_or(InvalidCursor)?;
        let mut reported = Vec::new();
        while !rest.is_empty() {
            let number = take_number(&mut rest).ok_or(InvalidCursor)?;
            let mut mark = None;
            if number % 2 == 1 {
                let (bytes, after) = rest.split_first_chunk::<4>().ok_or(InvalidCursor)?;
                (mark, rest) = (Some(u32::from_be_bytes(*bytes)), after);
            }
            reported.push(ListPosition { down_to: number / 2, mark });
        }
        Ok(Self { filter: u32::from_be_bytes(*filter), reported })
    }
}

/// Takes a number off the front.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (n, length) = u64::decode_var(bytes.get(..NUMBER_BYTES).unwrap_or(bytes))?;
    *bytes = bytes.get(length..)?;
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(reported: &[(u64, Option<u32>)]) -> Option<OrderCursor> {
        let reported =
            reported.iter().map(|(down_to, mark)| ListPosition { down_to: *down_to, mark: *mark }).collect();
        OrderCursor::behind(&OrderFilter::default(), reported)
    }

    #[test]
    fn a_cursor_is_read_back() {
        for reported in
            [&[(1, None)][..], &[(0, None), (5_000_000, Some(7)), (127, Some(u32::MAX)), (64, None)]]
        {
            let cursor = cursor(reported).unwrap();
            let text = cursor.to_string();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
            assert_eq!(text.parse(), Ok(cursor));
        }
        assert_eq!(cursor(&[(0, None), (0, None)]), None);
    }

    #[test]
    fn other_texts_are_not_cursors() {
        let long = "A".repeat(LONGEST + 4);
        for bad in ["", "x", "AQ", "AgAAAAAB", "AQAAAAD_", "AQAAAAAD", "AQAAAAD_______8B", "*", &long] {
            assert_eq!(bad.parse::<OrderCursor>(), Err(InvalidCursor), "{bad:?}");
        }
    }

    #[test]
    fn a_cursor_belongs_to_one_list() {
        let filter = OrderFilter { sender: Some("u1".parse().unwrap()), ..OrderFilter::default() };
        let cursor = OrderCursor::behind(&filter, vec![ListPosition { down_to: 3, mark: None }]).unwrap();
        assert!(cursor.reported(&filter, 1).is_some() && cursor.reported(&filter, 2).is_none());
        for other in [
            OrderFilter::default(),
            OrderFilter { from: Some(UnixMs(1)), ..filter.clone() },
            OrderFilter { to: Some(UnixMs(1)), ..filter.clone() },
        ] {
            assert!(cursor.reported(&other, 1).is_none());
        }
    }
}
