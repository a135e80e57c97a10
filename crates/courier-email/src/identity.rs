//! What names a message: derived from order, parcel and row alone, so that it is chosen before the first attempt and is the
//! same in every attempt, in whichever process.

use posthaste_courier::Envelope;
use posthaste_model::Suffix;
use sha2::{Digest, Sha256};

/// Names one message among all, without saying of which order it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity([u8; 16]);

impl Identity {
    /// The identity of a row.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        Self::new(&envelope.suffix, envelope.parcel, envelope.row)
    }

    /// The identity of row `row` in parcel `parcel` of an order.
    #[must_use]
    pub fn new(order: &Suffix, parcel: u32, row: u16) -> Self {
        let digest = Sha256::digest(format!("posthaste e-mail\n{order}\n{parcel}\n{row}"));
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Self(short)
    }

    /// As 32 hexadecimal digits: the left part of the Message-ID.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A number below `most` that looks random and is the same every time.
    #[must_use]
    pub fn below(&self, most: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_rem(most).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_own_and_keeps_it() {
        let order: Suffix = "u1:7".parse().expect("a suffix");
        let other: Suffix = "u1:71".parse().expect("a suffix");
        let first = Identity::new(&order, 1, 2);
        assert_eq!(first, Identity::new(&order, 1, 2));
        for different in [
            Identity::new(&order, 2, 1),
            Identity::new(&order, 12, 2),
            Identity::new(&order, 1, 22),
            Identity::new(&other, 1, 2),
        ] {
            assert_ne!(first, different);
        }
        // Written down: another release must not choose otherwise, or a repeat would look like another message.
        assert_eq!(first.hex().len(), 32);
        assert!(first.below(600) < 600);
        assert_eq!(first.below(0), 0);
    }
}
