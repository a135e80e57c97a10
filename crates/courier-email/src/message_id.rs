//! The id of a message: derived only from order, parcel and delivery, so that it exists before the first attempt and
//! is the same in every attempt and process.

use posthaste_courier::Envelope;
use posthaste_model::OrderId;
use sha2::{Digest, Sha256};

/// Uniquely identifies a message, without revealing its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageIds([u8; 16]);

impl MessageIds {
    /// The id of a delivery.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        Self::new(&envelope.order_id, envelope.parcel, envelope.delivery)
    }

    /// The id of delivery `delivery` in parcel `parcel` of an order.
    #[must_use]
    pub fn new(order: &OrderId, parcel: u32, delivery: u16) -> Self {
        let digest = Sha256::digest(format!("posthaste e-mail\n{order}\n{parcel}\n{delivery}"));
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Self(short)
    }

    /// The id as 32 hexadecimal digits: the left part of the Message-ID.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A pseudorandom number below `most`, the same on every call.
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
    fn every_delivery_has_its_own_and_keeps_it() {
        let order: OrderId = "u1:7".parse().expect("an order id");
        let other: OrderId = "u1:71".parse().expect("an order id");
        let first = MessageIds::new(&order, 1, 2);
        assert_eq!(first, MessageIds::new(&order, 1, 2));
        for different in [
            MessageIds::new(&order, 2, 1),
            MessageIds::new(&order, 12, 2),
            MessageIds::new(&order, 1, 22),
            MessageIds::new(&other, 1, 2),
        ] {
            assert_ne!(first, different);
        }
        // Another release must derive the same ids, or a repeat would look like a different message.
        assert_eq!(first.hex().len(), 32);
        assert!(first.below(600) < 600);
        assert_eq!(first.below(0), 0);
    }
}
