//! Redirections.

use super::listing::NodeAddress;

/// A redirection: another server has the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) slot: u16,
    pub(crate) to: NodeAddress,
}

impl Moved {
    /// Reads `MOVED <slot> <host>:<port>`; `None` when it is another error.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("MOVED ")?.split_ascii_whitespace();
        let (slot, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { slot, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read() {
        let read = |text: &str| Moved::read(text).map(|moved| (moved.slot, moved.to.to_string()));
        assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some((3999, "127.0.0.1:6381".to_owned())));
        assert_eq!(read("MOVED 3999 ::1:6381"), Some((3999, "[::1]:6381".to_owned())));
        let same_host = Moved::read("MOVED 3999 :6381").unwrap();
        assert_eq!(same_host.to.seen_from(&"10.0.0.1:7000".parse().unwrap()).to_string(), "10.0.0.1:6381");
        for other in ["ASK 3999 127.0.0.1:6381", "MOVED", "MOVED x y:1", "MOVED 1", "ERR"] {
            assert_eq!(Moved::read(other), None, "{other}");
        }
    }
}
