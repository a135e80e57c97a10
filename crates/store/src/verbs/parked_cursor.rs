//! Where a page of parked records begins.

use std::fmt;
use std::str::FromStr;

use super::recipients::InvalidCursor;

/// Where a page begins: a partition, a list in it (0: orders, then channels by name), and a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParkedCursor {
    pub(super) partition: u16,
    pub(super) list: usize,
    pub(super) rank: u64,
}

impl fmt::Display for ParkedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.partition, self.list, self.rank)
    }
}

impl FromStr for ParkedCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let numbers: Vec<u32> = text
            .split('-')
            .map(|part| part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit())))
            .collect::<Option<_>>()
            .ok_or(InvalidCursor)?;
        let [partition, list, rank] = numbers[..] else { return Err(InvalidCursor) };
        let list = usize::try_from(list).map_err(|_| InvalidCursor)?;
        Ok(Self { partition: u16::try_from(partition).map_err(|_| InvalidCursor)?, list, rank: rank.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cursor_is_read_back() {
        let cursor = ParkedCursor { partition: 3, list: 2, rank: 500 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "1-2", "1-2-3-4", "-1-2-3", "1-2-x", "+1-2-3", "70000-0-0"] {
            assert_eq!(bad.parse::<ParkedCursor>(), Err(InvalidCursor), "{bad:?}");
        }
    }
}
